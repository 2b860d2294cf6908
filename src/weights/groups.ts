/**
 * @file The common part of formats that store small integers in groups of 32 along a row with one f32 scale for each group. A
 * value is code · scale. Quantizers compute in f32 and round every operation.
 */
import { elements } from "./elements.ts";
import { type BlockShape, rowBytes, type WeightFormat } from "./weight-format.ts";

/** Columns that share one scale. */
export const GROUP = 32;

export interface GroupFormat {
  readonly name: string;
  readonly codeBits: number;
  /**
   * Quantizes f32 [rows][cols] into blocks. `scales` and `bytes` are two views of the same zeroed memory. Every format has its
   * own loop over groups, because a shared loop that calls a format's function for each group takes three times as long.
   */
  fillBlocks(values: Float32Array, rows: number, cols: number, scales: Float32Array, bytes: Int8Array): void;
  /** Unpacks the 32 codes that begin at byte `at`. */
  unpack(block: Uint8Array, at: number, codes: Int8Array): void;
}

type StoredGroups = Pick<WeightFormat, "name" | "block" | "dequantize" | "firstNonFinite"> &
  Required<Pick<WeightFormat, "quantize">>;

/** A stored block is the f32 scale, then the codes. */
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

/** Bound for the magnitude of all values when codes reach up to `most`. */
export const peakOfGroups = (scales: Float32Array, most: number): number =>
  most * scales.reduce((peak, scale) => Math.max(peak, Math.abs(scale)), 0);
