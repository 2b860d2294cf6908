/** @file Reads a whole tensor of a checkpoint, and checks that all values are finite. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { weightFormat } from "../weights/registry.ts";
import type { WeightPart } from "../weights/weight-part.ts";
import { type StoredMatrix, storedMatrix } from "./tensor-pieces.ts";

/** @throws TurboQuantError invalid_file — absent, of more than three dimensions, or with a NaN or infinity */
export async function readWeight(checkpoint: Checkpoint, name: string): Promise<WeightPart> {
  const matrix = await storedMatrix(checkpoint, name);
  const { info, rows, cols } = matrix;
  const part = { dtype: info.dtype, rows, cols, data: await checkpoint.read(name) };
  checkFinite(matrix, part, 0, checkpoint.nameInFile?.(name));
  return part;
}

/**
 * part: rows of the matrix from `firstRow` on
 * @throws TurboQuantError invalid_file — a NaN or infinity
 */
export function checkFinite(
  { info, cols }: StoredMatrix,
  part: WeightPart,
  firstRow: number,
  nameInFile = info.name,
): void {
  if (info.isFinite) return;
  const bad = weightFormat(info.dtype).firstNonFinite(part.data, part.rows, cols);
  if (bad < 0) return;
  const index = firstRow * cols + bad;
  throw new TurboQuantError(
    "invalid_file",
    `${info.file}: ${nameInFile}: value ${index} is not finite; the file is damaged or was saved from a diverged run, fetch it again`,
    { tensor: info.name, index },
  );
}
