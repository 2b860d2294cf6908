/** @file Matrices that a checkpoint stores by columns. */
import { elements } from "../weights/elements.ts";
import type { WeightPart } from "../weights/weight-part.ts";

/**
 * Rows of matrices that are stored as [cols][rows] of plain numbers, as [rows][cols].
 *
 * part: whole matrices, with the numbers of rows and columns that they have afterwards · rows: of one of them
 */
export function transposedPart(part: WeightPart, rows: number): WeightPart {
  const { cols, data } = part;
  const out = new Uint8Array(data.length);
  const bytes = data.length / (part.rows * cols);
  const Words = bytes === 2 ? Uint16Array : Uint32Array;
  const [from, to] = [
    elements<Uint16Array | Uint32Array>(data, Words),
    elements<Uint16Array | Uint32Array>(out, Words),
  ];
  for (let first = 0; first < part.rows; first += rows) {
    for (let row = 0; row < rows; row++) {
      const at = first * cols;
      for (let col = 0; col < cols; col++) to[at + row * cols + col] = from[at + col * rows + row]!;
    }
  }
  return { ...part, data: out };
}
