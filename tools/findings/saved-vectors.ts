/** @file Reads a file with keys or values that were saved while a model ran. */
import { readFileSync } from "node:fs";

/** Vectors of one side of one layer, after RoPE. */
export interface SavedVectors {
  readonly layer: number;
  readonly headDim: number;
  /** [KV head][token][headDim] */
  readonly heads: readonly (readonly Float32Array[])[];
}

const MAGIC = "QVKT";
const HEADER_BYTES = 20;

/**
 * The file has 'QVKT', then u32 layer, KV heads, tokens, head_dim, then the f32 values in that order, little-endian.
 * @throws Error — any other file
 */
export function readSavedVectors(path: string): SavedVectors {
  const bytes = readFileSync(path);
  if (bytes.length < HEADER_BYTES || bytes.toString("latin1", 0, 4) !== MAGIC) {
    throw new Error(`${path}: expected a file of vectors that begins with ${MAGIC}`);
  }
  const [layer, numHeads, tokens, headDim] = [4, 8, 12, 16].map((at) => bytes.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const expected = HEADER_BYTES + 4 * numHeads * tokens * headDim;
  if (bytes.length !== expected) throw new Error(`${path}: expected ${expected} bytes, got ${bytes.length}`);
  const vectorAt = (index: number): Float32Array =>
    Float32Array.from({ length: headDim }, (_, i) => bytes.readFloatLE(HEADER_BYTES + 4 * (index * headDim + i)));
  const heads = Array.from({ length: numHeads }, (_, head) =>
    Array.from({ length: tokens }, (_, token) => vectorAt(head * tokens + token)),
  );
  return { layer, headDim, heads };
}
