/** @file What the WASM kernels over states of fixed size read. Addresses are bytes of the WASM memory. */
import { Struct } from "./struct.ts";

/** The part of a step that belongs to one sequence, and the states that it reads and leaves. */
export const stateSpan = new Struct({
  row: "u32",
  count: "u32",
  /** Address of the state before the first row; 0 for zeros. */
  before: "u32",
  /** The states to write: after so many rows, and their addresses; 0 rows for none. */
  firstEnd: "u32",
  first: "u32",
  secondEnd: "u32",
  second: "u32",
  /** Position of the first row. */
  start: "u32",
});

/** What `convolve` does besides adding up products. */
export const CONVOLVE_FLAGS = { silu: 1, inputGate: 2, outputGate: 4 } as const;

export const convolve = new Struct({
  /** A `stateSpan` each. */
  spans: "u32",
  /** Addresses of the first row's channels, and of the gates beside them. */
  x: "u32",
  inputGate: "u32",
  outputGate: "u32",
  /** Values from a row of x to the next. */
  stride: "u32",
  /** f32 [channels][kernel]. */
  taps: "u32",
  /** f32 [channels], or 0. */
  bias: "u32",
  /** f32 [row][channels]. */
  out: "u32",
  channels: "u32",
  kernel: "u32",
  /** Rows from a tap to the next. */
  dilation: "u32",
  /** Channels of a task, a multiple of 4, and tasks of a span. */
  block: "u32",
  blocks: "u32",
  /** A sum of CONVOLVE_FLAGS. */
  flags: "u32",
});

/** Rows that `deltaRule` computes together; from fewer than the least number it goes row by row. */
export const DELTA_ROWS = { most: 32, least: 5 } as const;

export const deltaRule = new Struct({
  /** A `stateSpan` each. */
  spans: "u32",
  /** f32 [row][stride] as q|k|v. */
  qkv: "u32",
  stride: "u32",
  /** Addresses of the first row's inputs of β and of the decay, and values from a row to the next. */
  rates: "u32",
  rateStride: "u32",
  decays: "u32",
  decayStride: "u32",
  /** f32 [numHeads], and as many as there are inputs of the decay. */
  decayLog: "u32",
  decayBias: "u32",
  /** 0 for none. */
  decayBound: "f32",
  rateScale: "f32",
  eps: "f32",
  /** f32 [row][numHeads · valueDim]. */
  out: "u32",
  numHeads: "u32",
  /** Heads of v that have one head of q and k, and 1 where they are not beside each other. */
  group: "u32",
  tiled: "u32",
  keyDim: "u32",
  valueDim: "u32",
  /** 1: a decay for each channel of keys. */
  byChannel: "u32",
});

/** What gates are made of before they multiply. */
export const GATES = { sigmoid: 0, silu: 1, none: 2 } as const;

export const gate = new Struct({
  x: "u32",
  /** Address of the first row's first factor. */
  gates: "u32",
  /** Values from a row of factors to the next. */
  stride: "u32",
  /** Values of x that have one factor. */
  repeat: "u32",
  width: "u32",
  rows: "u32",
  /** Rows of a task. */
  block: "u32",
  /** One of GATES. */
  kind: "u32",
});

export const scan = new Struct({
  /** A `stateSpan` each. */
  spans: "u32",
  /** Of the first row's x, and values from a row to the next. */
  x: "u32",
  xStride: "u32",
  /** Of the first row's B and C, [numGroups][stateSize] each, and values from a row to the next. */
  b: "u32",
  c: "u32",
  vectorStride: "u32",
  /** Of the first row's first step before its bias, and values from a row to the next. */
  steps: "u32",
  stepStride: "u32",
  /** f32: ln of the rates, [numHeads] or [numHeads][stateSize]; D, [numHeads]; biases of the steps, [numHeads]. */
  parameters: "u32",
  /** f32 [rows][numHeads · headDim]. */
  out: "u32",
  numHeads: "u32",
  headDim: "u32",
  numGroups: "u32",
  stateSize: "u32",
  /** Heads of a task, and tasks of a span. */
  block: "u32",
  blocks: "u32",
  minStep: "f32",
  maxStep: "f32",
  /** 1: each state of a head has a rate of its own. */
  isPerState: "u32",
});
