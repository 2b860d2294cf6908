/**
 * @file Parameter blocks of assembly/linear/linear.ts and assembly/elementwise/elementwise.ts: offsets, and how many tasks
 * a call has. Addresses are bytes in the WASM memory, multiples of 4; 0 stands for "none" where that is allowed.
 *
 * Each writer fills a block at `at` and returns the number of tasks: run the kernel for every task from 0, in any order,
 * on any thread, with 512 KiB of scratch of that thread alone, aligned to 16 bytes.
 */

/** Types as the kernels number them. */
export const WEIGHT_TYPE_NUMBER = { f32: 0, f16: 1, bf16: 2, q8: 3 } as const;
export type StoredType = keyof typeof WEIGHT_TYPE_NUMBER;

/** Columns of one scale in q8 rows, and what q8 rows and int16 activations are padded to. */
export const Q8_GROUP = 32;
const OUT_BLOCK = 32;
const ROW_BLOCK = 64;
const QUANTIZE_ROWS = 8;

/** Bytes to set aside for a block of any kernel here. */
export const PARAMS_BYTES = 64;

/** Elements of a stored row of a weight. */
export function weightStride(cols: number, type: StoredType): number {
  return type === "q8" ? Math.ceil(cols / Q8_GROUP) * Q8_GROUP : cols;
}

export interface LinearParams {
  /** f32 [rows][cols]; for q8 the int16 codes of `quantizeActivations`, [rows][stride]. */
  readonly x: number;
  /** f32 [rows], q8 only. */
  readonly xScale?: number;
  readonly w: number;
  /** f32 [outRows][stride / 32], q8 only. */
  readonly wScale?: number;
  /** f32 [outRows], or 0. */
  readonly bias: number;
  /** f32 [rows][outRows]. */
  readonly out: number;
  readonly rows: number;
  readonly cols: number;
  readonly outRows: number;
  readonly type: StoredType;
  /** Whether to add to `out` instead of replacing it. */
  readonly add: boolean;
}

/** For `linear`: out (+)= x · Wᵀ (+ bias). */
export function writeLinearParams(memory: DataView, at: number, p: LinearParams): number {
  const { x, xScale = 0, w, wScale = 0, bias, out, rows, cols, outRows, type, add } = p;
  const stride = weightStride(cols, type);
  writeWords(memory, at, [
    x,
    xScale,
    w,
    wScale,
    bias,
    out,
    rows,
    cols,
    outRows,
    stride,
    WEIGHT_TYPE_NUMBER[type],
    add ? 1 : 0,
  ]);
  return Math.ceil(outRows / OUT_BLOCK) * Math.ceil(rows / ROW_BLOCK);
}

export interface QuantizeActivationsParams {
  /** f32 [rows][cols]. */
  readonly x: number;
  /** int16 [rows][cols rounded up to 32]. */
  readonly codes: number;
  /** f32 [rows]. */
  readonly scales: number;
  readonly rows: number;
  readonly cols: number;
}

/** For `quantizeActivations`: x ≈ code · scale. */
export function writeQuantizeActivationsParams(memory: DataView, at: number, p: QuantizeActivationsParams): number {
  writeWords(memory, at, [p.x, p.codes, p.scales, p.cols, weightStride(p.cols, "q8")]);
  return p.rows;
}

export interface QuantizeWeightsParams {
  /** [rows][cols] of `type`. */
  readonly source: number;
  readonly type: Exclude<StoredType, "q8">;
  /** int8 [rows][cols rounded up to 32]. */
  readonly codes: number;
  /** f32 [rows][that / 32]. */
  readonly scales: number;
  readonly rows: number;
  readonly cols: number;
}

/** For `quantizeWeights`: w ≈ code · scale. For a part of a matrix pass the addresses of its first row. */
export function writeQuantizeWeightsParams(memory: DataView, at: number, p: QuantizeWeightsParams): number {
  const stride = weightStride(p.cols, "q8");
  writeWords(memory, at, [p.source, p.codes, p.scales, p.rows, p.cols, stride, WEIGHT_TYPE_NUMBER[p.type]]);
  return Math.ceil(p.rows / QUANTIZE_ROWS);
}

export interface EmbedParams {
  readonly w: number;
  /** q8 only. */
  readonly wScale?: number;
  /** i32 [rows], each a row of w: the kernel does not check. */
  readonly tokens: number;
  /** f32 [rows][cols]. */
  readonly out: number;
  readonly rows: number;
  readonly cols: number;
  readonly type: StoredType;
}

/** For `embed`: rows of a weight as f32. */
export function writeEmbedParams(memory: DataView, at: number, p: EmbedParams): number {
  const stride = weightStride(p.cols, p.type);
  writeWords(memory, at, [p.w, p.wScale ?? 0, p.tokens, p.out, p.cols, stride, WEIGHT_TYPE_NUMBER[p.type]]);
  return p.rows;
}

export interface RmsNormParams {
  /** f32 [rows][cols]. */
  readonly x: number;
  /** f32 [cols]. */
  readonly weight: number;
  /** f32 [rows][cols]; may be x. */
  readonly out: number;
  readonly rows: number;
  readonly cols: number;
  readonly eps: number;
}

/** For `rmsNorm`: x / sqrt(mean(x²) + eps) · weight. */
export function writeRmsNormParams(memory: DataView, at: number, p: RmsNormParams): number {
  writeWords(memory, at, [p.x, p.weight, p.out, p.cols]);
  memory.setFloat32(at + 16, p.eps, true);
  return p.rows;
}

export interface SwigluParams {
  /** f32 [rows][2 · width], the gate first. */
  readonly gateUp: number;
  /** f32 [rows][width]. */
  readonly out: number;
  readonly rows: number;
  readonly width: number;
}

/** For `swiglu`: silu(gate) · up. */
export function writeSwigluParams(memory: DataView, at: number, p: SwigluParams): number {
  writeWords(memory, at, [p.gateUp, p.out, p.width]);
  return p.rows;
}

export interface GatherRowsParams {
  /** f32 [any][width]. */
  readonly x: number;
  /** i32 [rows], not checked by the kernel. */
  readonly indices: number;
  /** f32 [rows][width], apart from x. */
  readonly out: number;
  readonly rows: number;
  readonly width: number;
}

/** For `gatherRows`: out[i] = x[indices[i]]. */
export function writeGatherRowsParams(memory: DataView, at: number, p: GatherRowsParams): number {
  writeWords(memory, at, [p.x, p.indices, p.out, p.width]);
  return p.rows;
}

function writeWords(memory: DataView, at: number, words: readonly number[]): void {
  for (let i = 0; i < words.length; i++) memory.setUint32(at + 4 * i, words[i]!, true);
}
