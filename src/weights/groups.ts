/**
 * @file What formats have in common that keep small integers in groups of 32 along a row with an f32 scale each. A value is
 * code · scale. All arithmetic of quantizers is f32, one rounding an operation.
 */
import { elements } from "./elements.ts";
import { type BlockShape, rowBytes, type WeightFormat } from "./weight-format.ts";

/** Columns that share a scale. */
export const GROUP = 32;

export interface GroupFormat {
  readonly name: string;
  readonly codeBits: number;
  /**
   * f32 [rows][cols] into blocks. `scales` and `bytes` are views of the same memory, all zeros. The loop over groups is each
   * format's own: a call per group that several formats share costs three times the work in it.
   */
  fillBlocks(values: Float32Array, rows: number, cols: number, scales: Float32Array, bytes: Int8Array): void;
  /** The 32 codes from byte `at` on. */
  unpack(block: Uint8Array, at: number, codes: Int8Array): void;
}

type StoredGroups = Pick<WeightFormat, "name" | "block" | "dequantize" | "firstNonFinite"> &
  Required<Pick<WeightFormat, "quantize">>;

/** A block is the f32 scale and then the codes. */
export function groupFormat({ name, codeBits, fillBlocks, unpack }: GroupFormat): StoredGroups {
  const block: BlockShape = { values: GROUP, codeBits, parts: [{ name: "scale", numBytes: 4 }] };
  const words = 1 + codeBits;
  const bytesOfRow = (cols: number): number => rowBytes({ block } as WeightFormat, cols);
  return {
    name,
    block,
    dequantize(stored, rows, cols, out) {
      const scales = elements(stored, Float32Array);
      const bytes = new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength);
      const codes = new Int8Array(GROUP);
      let group = 0;
      for (let r = 0; r < rows; r++) {
        for (let start = 0; start < cols; start += GROUP, group++) {
          unpack(bytes, group * words * 4 + 4, codes);
          const scale = scales[group * words]!;
          const count = Math.min(GROUP, cols - start);
          for (let i = 0, at = r * cols + start; i < count; i++) out[at + i] = codes[i]! * scale;
        }
      }
    },
    quantize(values, rows, cols) {
      const stored = new Uint8Array(rows * bytesOfRow(cols));
      fillBlocks(values, rows, cols, new Float32Array(stored.buffer), new Int8Array(stored.buffer));
      return stored;
    },
    firstNonFinite(stored, rows, cols) {
      const scales = elements(stored, Float32Array);
      const groups = Math.ceil(cols / GROUP);
      for (let group = 0; group < rows * groups; group++) {
        if (Number.isFinite(scales[group * words]!)) continue;
        return Math.floor(group / groups) * cols + (group % groups) * GROUP;
      }
      return -1;
    },
  };
}

/** The largest magnitude of groups whose codes reach up to `most`. */
export const peakOfGroups = (scales: Float32Array, most: number): number =>
  most * scales.reduce((peak, scale) => Math.max(peak, Math.abs(scale)), 0);
