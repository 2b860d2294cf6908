/** @file What a memory plan asks of a backend: bytes in closed form, before anything is opened. */
import type { RotationKind } from "../quant/kv-format.ts";
import type { WeightType } from "../weights/registry.ts";

/** The largest load that the memory has to carry. */
export interface Load {
  /** Tokens in the longest step. */
  readonly rows: number;
  /** Number of sequences decoded at the same time. */
  readonly sequences: number;
  /** Tokens of the longest sequence. */
  readonly tokens: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** Columns of the widest matrix. */
  readonly widestInput: number;
  /** Shapes of the matrices that every row of a step is multiplied by: all except embeddings and the head. */
  readonly matrices: readonly { readonly rows: number; readonly cols: number }[];
  readonly weights: WeightType;
  /** Bytes for the calibration of all layers in their cache format (`preparedBytes`); 0 without one. */
  readonly calibrationBytes: number;
  readonly rotation: RotationKind;
}

/** Infinite where nothing but the machine sets them. */
export interface MemoryLimits {
  /** Most bytes of weights, pages and work together. */
  readonly memoryBytes: number;
  /** Most bytes of one buffer that common devices bind: weights are cut at it, the pages of one stream of a layer are not. */
  readonly bindingBytes: number;
  /** What every device binds. */
  readonly leastBindingBytes: number;
}

export interface HeldPages {
  /** What the page storage holds for them: alignment, room to grow. */
  readonly bytes: number;
  /** What of it a kernel binds as one buffer. */
  readonly bindingBytes: number;
}

export interface BackendPlanner {
  readonly limits: MemoryLimits;
  /** Most tokens of a prefill step, on any device. */
  readonly chunkTokens: number;
  /**
   * Bytes of a weight [rows][cols].
   * @throws TurboQuantError unsupported — a type that has no kernels here
   */
  weightBytes(rows: number, cols: number, type: WeightType): number;
  /**
   * Memory for `count` pages of one stream of one layer. pageBytes: of a page, as laid out · expected: how many pages the
   * storage was told of (`PageStorage.expect`)
   */
  heldPages(count: number, pageBytes: number, expected: number): HeldPages;
  /** What is allocated besides weights, activations and pages: an upper bound. */
  workingBytes(load: Load): number;
}
