/**
 * @file A made-up weight format, as complete as a real one: int8 with one f32 scale a row. A row is {f32 scale, int8
 * codes[cols]}, and a weight is code · scale. It has a reader for WebGPU and none for WASM.
 */
import { GROUP } from "../../src/weights/groups.ts";
import { wgslWeightFormat } from "../../src/weights/registry.ts";
import type { WeightFormat } from "../../src/weights/weight-format.ts";

export const int8Rows: WeightFormat = {
  name: "int8rows",
  block: { values: "row", codeBits: 8, parts: [{ name: "scale", numBytes: 4 }] },
  dequantize(stored, rows, cols, out) {
    const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
    for (let r = 0; r < rows; r++) {
      const at = r * (4 + cols);
      const scale = view.getFloat32(at, true);
      for (let i = 0; i < cols; i++) out[r * cols + i] = view.getInt8(at + 4 + i) * scale;
    }
  },
  quantize(values, rows, cols) {
    const stored = new Uint8Array(rows * (4 + cols));
    const view = new DataView(stored.buffer);
    for (let r = 0; r < rows; r++) {
      const row = values.subarray(r * cols, (r + 1) * cols);
      const peak = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const at = r * (4 + cols);
      view.setFloat32(at, peak / 127, true);
      row.forEach((value, i) => {
        view.setInt8(at + 4 + i, peak === 0 ? 0 : Math.round((value * 127) / peak));
      });
    }
    return stored;
  },
  firstNonFinite(stored, rows, cols) {
    const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
    for (let r = 0; r < rows; r++) if (!Number.isFinite(view.getFloat32(r * (4 + cols), true))) return r * cols;
    return -1;
  },
  wgsl: {
    // On the device it lies as q8 does, the scale of a row repeated for every group.
    ...wgslWeightFormat("q8"),
    split(stored, rows, cols) {
      const groups = Math.ceil(cols / GROUP);
      const words = new Uint8Array(rows * groups * GROUP);
      const scales = new Float32Array(rows * groups);
      const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
      for (let r = 0; r < rows; r++) {
        const at = r * (4 + cols);
        words.set(stored.subarray(at + 4, at + 4 + cols), r * groups * GROUP);
        scales.fill(view.getFloat32(at, true), r * groups, (r + 1) * groups);
      }
      return { words, scales };
    },
  },
};
