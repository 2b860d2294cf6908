/** @file How a weight matrix lies in WASM memory, from its shape and type alone. */
import { type WeightType, wasmWeightFormat, weightFormat } from "../../weights/registry.ts";
import { isVector, type WasmWeightFormat } from "../../weights/weight-format.ts";
import { alignUp } from "./heap.ts";

/** Rows whose columns alternate in memory, so that a kernel reads one stream (assembly/linear/types.ts, grouped.ts). */
export const PANEL_ROWS = 4;

/** Bytes of what `prepare` makes of rows of activations for a product with weights of this format. */
export function preparedBytes(format: WasmWeightFormat, rows: number, stride: number) {
  const values = rows * stride * format.activationBytes;
  const groups = stride / format.record.cols;
  const sums = format.needsSums ? alignUp(rows, PANEL_ROWS) * groups * 4 : 0;
  return { values, sums, scales: rows * 4 };
}

export interface WeightLayout {
  /** Norms and biases lie in plain order. */
  readonly isVector: boolean;
  /** cols rounded up to whole records; the rest is zero, so that kernels have no remainders. */
  readonly stride: number;
  /** Bytes of one row in its panel. */
  readonly rowBytes: number;
  readonly numBytes: number;
}

/**
 * Rows that a unit of a weight has in memory: those of an expert begin with a panel of their own, so that a product may begin with them. Single rows
 * do not.
 */
export const panelRows = (unit: number): number => (unit === 1 ? 1 : alignUp(unit, PANEL_ROWS));

/**
 * unit: see `Ops.createWeight`
 * @throws TurboQuantError unsupported — a type that has no kernels here
 */
export function weightLayout(rows: number, cols: number, type: WeightType, unit = 1): WeightLayout {
  const { record } = wasmWeightFormat(type);
  const stride = alignUp(cols, record.cols);
  const rowBytes = (stride / record.cols) * record.rowBytes;
  const plain = isVector(weightFormat(type), rows, cols);
  return {
    isVector: plain,
    stride,
    rowBytes,
    numBytes: plain ? rows * cols * 4 : alignUp((rows / unit) * panelRows(unit), PANEL_ROWS) * rowBytes,
  };
}
