/** @file Compares the tensors of a checkpoint with those that its config calls for, before any of them is read. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { layoutOf, tensorSpecs } from "./layout.ts";
import type { ModelConfig } from "./model-config.ts";

/**
 * Looks at headers only, so that a mismatch is reported before gigabytes are read. Tensors that the model does not use are
 * ignored, as in Transformers (a tied head saved twice, rope buffers).
 *
 * @throws TurboQuantError invalid_file — a tensor is missing or has another shape
 */
export async function checkWeights(checkpoint: Checkpoint, config: ModelConfig): Promise<void> {
  const tensors = await checkpoint.tensors();
  for (const { name, shape } of tensorSpecs(layoutOf(config)).values()) {
    const info = tensors.get(name);
    const tensor = checkpoint.nameInFile?.(name) ?? name;
    if (!info) {
      throw new TurboQuantError(
        "invalid_file",
        `${checkpoint.files.name}: tensor ${tensor} is missing, which its config.json calls for; config and weights are of different models (or this is an adapter): download both from one place`,
        { tensor },
      );
    }
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      throw new TurboQuantError(
        "invalid_file",
        `${checkpoint.name}/${info.file}: ${tensor}: expected [${shape}] by its config.json, got [${info.shape}]; config and weights are of different models: download both from one place`,
        { tensor, expected: shape, got: info.shape },
      );
    }
  }
}
