/** @file Reads a tensor of a checkpoint for a backend, and checks its shape and that all values are finite. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { weightFormat } from "../weights/registry.ts";
import type { WeightPart } from "../weights/weight-part.ts";

/** @throws TurboQuantError invalid_file — absent, neither matrix nor vector, or with a NaN or infinity */
export async function readWeight(checkpoint: Checkpoint, name: string): Promise<WeightPart> {
  const info = (await checkpoint.tensors()).get(name);
  if (!info) {
    throw new TurboQuantError(
      "invalid_file",
      `${checkpoint.name}: tensor ${name} is missing; the checkpoint does not fit its config.json (or is an adapter)`,
      { tensor: name },
    );
  }
  const { shape, dtype, file } = info;
  if (shape.length < 1 || shape.length > 2) {
    throw new TurboQuantError("invalid_file", `${file}: ${name}: expected 1 or 2 dimensions, got ${shape.length}`);
  }
  const [rows, cols] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  const data = await checkpoint.read(name);
  const bad = info.isFinite ? -1 : weightFormat(dtype).firstNonFinite(data, rows, cols);
  if (bad >= 0) {
    throw new TurboQuantError(
      "invalid_file",
      `${file}: ${name}: value ${bad} is not finite; the file is damaged or was saved from a diverged run, fetch it again`,
      { tensor: name, index: bad },
    );
  }
  return { dtype, rows, cols, data };
}
