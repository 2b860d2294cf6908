/** @file Compares the tensors of a checkpoint with those that its config calls for, before any of them is read. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { TensorSpec, WeightSpec } from "./blocks/block.ts";
import { layoutOf, type ModelLayout, weightSpecs } from "./layout.ts";
import type { ModelConfig } from "./model-config.ts";
import { storedLayout } from "./tensor-forms.ts";

/**
 * Looks at headers only, so that a mismatch is reported before gigabytes are read. Tensors that the model does not use are
 * ignored, as in Transformers (a tied head saved twice, rope buffers).
 *
 * @throws TurboQuantError invalid_file — a tensor is missing or has another shape
 */
export async function checkWeights(checkpoint: Checkpoint, config: ModelConfig): Promise<void> {
  const tensors = await checkpoint.tensors();
  const [calls, next, again] =
    checkpoint.stem === null
      ? ["its config.json", "config and weights are of different models", "download both from one place"]
      : ["its metadata", "the file contradicts itself", "download it again, or another one"];
  for (const { spec, tensor: own } of tensorsOf(storedLayout(layoutOf(config), tensors))) {
    const { name, shape } = own;
    const info = tensors.get(name);
    const tensor = checkpoint.nameInFile?.(name) ?? name;
    if (!info) {
      throw new TurboQuantError(
        "invalid_file",
        `${checkpoint.files.name}: tensor ${tensor} is missing${othersOf(spec, tensors)}, which ${calls} calls for; ${next} (or this is an adapter): ${again}`,
        { tensor },
      );
    }
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      throw new TurboQuantError(
        "invalid_file",
        `${checkpoint.name}/${info.file}: ${tensor}: expected [${shape}] by ${calls}, got [${info.shape}]; ${next}: ${again}`,
        { tensor, expected: shape, got: info.shape },
      );
    }
  }
}

function* tensorsOf(layout: ModelLayout): Generator<{ readonly spec: WeightSpec; readonly tensor: TensorSpec }> {
  for (const spec of weightSpecs(layout)) for (const tensor of spec.tensors) yield { spec, tensor };
}

/** How many more of the experts are not there: a file without some of them has another number of experts, or is a part of one. */
function othersOf({ role, tensors }: WeightSpec, stored: ReadonlyMap<string, unknown>): string {
  const missing = tensors.filter(({ name }) => !stored.has(name)).length;
  if (role !== "experts" || missing < 2) return "";
  return ` with ${missing - 1} more of the ${tensors.length} matrices of this layer's experts`;
}
