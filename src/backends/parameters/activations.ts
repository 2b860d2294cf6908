/** @file What the WASM kernels of matrix products, weights and elementwise operations read. Addresses are bytes of the WASM memory. */
import { MAX_RUNS } from "../column-runs.ts";
import { Struct } from "./struct.ts";

/** See assembly/linear/heads.ts. */
export const heads = new Struct({
  x: "u32",
  out: "u32",
  table: "u32",
  /** As in `embed`. */
  type: "u32",
  cols: "u32",
  stride: "u32",
  numHeads: "u32",
  rows: "u32",
  /** Rows of activations in a task. */
  block: "u32",
  headRows: "u32",
  first: "u32",
  count: "u32",
  isTransposed: "u32",
  inputWidth: "u32",
  outputWidth: "u32",
});

export const embed = new Struct({
  table: "u32",
  /** Code of the weight's layout. */
  type: "u32",
  /** i32 [rows]: tokens, or other numbers of rows of the table. */
  tokens: "u32",
  /** f32 [rows][cols]. */
  out: "u32",
  cols: "u32",
  /** Elements of a weight row. */
  stride: "u32",
  /** Factor of the values. */
  scale: "f32",
  /** 1: they are added to out; a row then fits the scratch of a thread. */
  add: "u32",
});

/** What `norm` does besides dividing by a root mean square. */
export const NORM_FLAGS = { center: 1, add: 2, cut: 4, plain: 8 } as const;

export const norm = new Struct({
  /** Addresses of the first row's part that is normed. */
  x: "u32",
  out: "u32",
  weight: "u32",
  /** f32 [cols], or 0. */
  bias: "u32",
  cols: "u32",
  /** Values from a row to the next, of x and of out. */
  stride: "u32",
  outStride: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  eps: "f32",
  /** A sum of NORM_FLAGS. */
  flags: "u32",
  /** Rows in turn that have weights of their own, one after the other. */
  groups: "u32",
  /** f32 [1] of a factor of all results, or 0. */
  factor: "u32",
  /** Deviations, with NORM_FLAGS.cut. */
  cutoff: "f32",
  /** Address of the first row's part whose length the result has, or 0, and values from a row to the next. */
  like: "u32",
  likeStride: "u32",
});

/** See `Ops.mixStreams`. */
export const mixStreams = new Struct({
  /** Addresses of the first row's first stream that is read, and that is written. */
  x: "u32",
  out: "u32",
  /** Address of the first row's first coefficient, or 0. */
  coefficients: "u32",
  /** Values from a row of coefficients to the next. */
  stride: "u32",
  width: "u32",
  /** Streams that are read and written, and those of a whole row. */
  inputs: "u32",
  outputs: "u32",
  streams: "u32",
  outStreams: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  factor: "f32",
  /** 1: on top of what is in `out`. */
  add: "u32",
});

/** See `Ops.resizeParts`. */
export const resizeParts = new Struct({
  /** Addresses of the first row's first part, of what is read and of what is written. */
  x: "u32",
  out: "u32",
  /** Values of a part. */
  width: "u32",
  outWidth: "u32",
  /** Values from a row to the next. */
  stride: "u32",
  outStride: "u32",
  /** Parts of a row. */
  count: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
});

export const scaleColumns = new Struct({
  x: "u32",
  width: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  /** Number of runs, the ends of each, and their factors. */
  runs: "u32",
  ends: ["u32", MAX_RUNS],
  factors: ["f32", MAX_RUNS],
});

export const ACTIVATIONS = { silu: 0, gelu: 1, gelu_tanh: 2, relu2: 3, xielu: 4, relu: 5, quick_gelu: 6 } as const;

export const activate = new Struct({
  x: "u32",
  out: "u32",
  width: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  /** One of ACTIVATIONS. */
  kind: "u32",
  /** 1: rows of x are gate and up. */
  gated: "u32",
  /** f32 [2], of xielu only. */
  alphas: "u32",
  /** Of silu with a gate, see `SwigluClamp`; a limit of 0: none. */
  limit: "f32",
  slope: "f32",
  offset: "f32",
});

export const rmsNorm = new Struct({
  x: "u32",
  weight: "u32",
  out: "u32",
  cols: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  eps: "f32",
});

export const swiglu = new Struct({
  gateUp: "u32",
  out: "u32",
  width: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
});

export const softcap = new Struct({
  x: "u32",
  length: "u32",
  /** Values of a task, a multiple of 4. */
  block: "u32",
  cap: "f32",
});

/** Activations on their way into the order that matrix kernels read. */
export const prepare = new Struct({
  x: "u32",
  out: "u32",
  /** f32 [rows], of q8 and q4 only. */
  scale: "u32",
  /** f32 [⌈rows / 4⌉][stride / 32][4], of q4 only: sums of each group. */
  sums: "u32",
  cols: "u32",
  stride: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
});

export const linear = new Struct({
  /** Prepared activations, [rows][stride]. */
  x: "u32",
  /** f32 [rows], of q8 and q4 only. */
  xScale: "u32",
  /** f32 [⌈rows / 4⌉][stride / 32][4], of q4 only. */
  xSums: "u32",
  /** Panels of four rows. */
  w: "u32",
  /** f32 [n], or 0. */
  bias: "u32",
  /** f32 [rows][total], of which this weight's outputs are the first n. */
  out: "u32",
  rows: "u32",
  /** Rows of the weight. */
  n: "u32",
  /** From a row of the output to the next: n, or the rows of all weights of a stack. */
  total: "u32",
  /** Elements of a weight row: cols rounded up to 8 (32 for q8 and q4). */
  stride: "u32",
  /** 1: accumulate into out. */
  add: "u32",
  /** Weight rows of one task, a multiple of 4. */
  block: "u32",
  /** Whether weights are read before they are used, because they come from memory and not from a cache: see assembly/linear/touch.ts. */
  readsAhead: "u32",
});

/** Products by several matrices in one call, or the preparation of their activations: see assembly/linear/segments.ts. */
export const segments = new Struct({
  /** A block of `linear` or of `prepare` for each segment. */
  table: "u32",
  segmentBytes: "u32",
  /** Tasks of a segment. */
  perSegment: "u32",
  /** Code of the weights' format. */
  kernel: "u32",
  isProduct: "u32",
});

/** What a row's experts give, added up. */
export const mix = new Struct({
  /** f32 [places][width]. */
  from: "u32",
  /** i32 [rows][count]. */
  places: "u32",
  /** f32 [count] of each row, so many bytes apart; 0: each counts 1. */
  weights: "u32",
  weightStride: "u32",
  /** f32 [rows][width]. */
  out: "u32",
  width: "u32",
  rows: "u32",
  count: "u32",
  /** Rows of a task. */
  block: "u32",
  /** 1: on top of what is in `out`. */
  add: "u32",
});

/** Rows of a checkpoint on their way into panels. */
export const convert = new Struct({
  from: "u32",
  /** Code of the source's format. */
  dtype: "u32",
  /** The matrix. */
  to: "u32",
  firstRow: "u32",
  cols: "u32",
  stride: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  /** Bytes of a source row. */
  sourceBytes: "u32",
  /** Set to 1 by the kernel that meets a NaN or an infinity among plain numbers or ggml's scales. */
  notFinite: "u32",
});

/** Rows of a checkpoint on their way to a GPU. */
export const deviceRows = new Struct({
  from: "u32",
  /** Code of the source's format. */
  dtype: "u32",
  /** Codes, and the scales of groups. */
  to: "u32",
  scales: "u32",
  cols: "u32",
  /** cols rounded up to whole groups. */
  stride: "u32",
  rows: "u32",
  /** Bytes of a source row. */
  sourceBytes: "u32",
  /** Set to 1 by the kernel that meets a NaN or an infinity among plain numbers. */
  notFinite: "u32",
  /** Set by the kernel: what `WgslWeightFormat.peak` is at most, and at least. */
  peak: "f32",
  leastPeak: "f32",
});
