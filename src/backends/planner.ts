/** @file What a memory plan needs of a backend: numbers of bytes in closed form, before anything is opened. */
import type { RotationKind } from "../quant/kv-format.ts";
import type { WeightType } from "../weights/registry.ts";
import type { DeltaRule } from "./state-ops.ts";

/** With three steps the device has work while the host handles a token; more would only be thrown away at the end. */
export const STEPS_IN_FLIGHT = 3;

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
  /** The numbers of KV heads that layers have. */
  readonly numsKvHeads: readonly number[];
  readonly headDim: number;
  readonly vocabSize: number;
  /** Columns of the widest matrix. */
  readonly widestInput: number;
  /** Shapes of the matrices that every row of a step is multiplied by: all except embeddings and the head. */
  readonly matrices: readonly { readonly rows: number; readonly cols: number }[];
  /** Sizes of the delta rules of layers. */
  readonly deltaRules: readonly Pick<DeltaRule, "numHeads" | "keyDim" | "isByChannel">[];
  readonly weights: WeightType;
  /** Bytes for the calibration of all layers in their cache format (`preparedBytes`); 0 without one. */
  readonly calibrationBytes: number;
  readonly rotation: RotationKind;
  /** Coarser tiers of all layers, and of the layer that has the most. */
  readonly tiers: { readonly all: number; readonly most: number };
  /** Bytes of the part of `calibrationBytes` that pages are coded anew with for coarser tiers. */
  readonly recodingBytes: number;
  /** The most tokens in sinks and residual window together. */
  readonly windowTokens: number;
  /** Lists a row of tokens that an indexer chooses; absent: there are none. */
  readonly chosenLists?: number;
}

/** Infinite when only the machine sets a limit. */
export interface MemoryLimits {
  /** The most bytes of weights, pages and everything else together in one memory. */
  readonly memoryBytes: number;
  /** The most memories that a model may lie in (`Ops.addMemory`); absent: one. */
  readonly memories?: number;
  /** The largest buffer that common devices can bind. Weights are cut at it; the pages of one stream of a layer are not. */
  readonly bindingBytes: number;
  /** The largest buffer that every device can bind. */
  readonly leastBindingBytes: number;
}

export interface HeldPages {
  /** Bytes that the page storage holds for them, with alignment and room to grow. */
  readonly bytes: number;
  /** Bytes that a kernel binds as one buffer. */
  readonly bindingBytes: number;
}

export interface BackendPlanner {
  readonly limits: MemoryLimits;
  /** The most tokens in a prefill step, on any device. */
  readonly chunkTokens: number;
  /** The most decode steps that run before the host knows the token of the first (`STEPS_IN_FLIGHT`), or 1 where tokens are drawn on the host. */
  readonly stepsInFlight: number;
  /**
   * Bytes of a weight [rows][cols]; unit: see `Ops.createWeight`.
   * @throws TurboQuantError unsupported — a type without kernels here
   */
  weightBytes(rows: number, cols: number, type: WeightType, unit?: number): number;
  /**
   * Memory for `count` pages of one stream of one layer. pageBytes: as laid out · expected: the number of pages that the
   * storage was told to expect (`PageStorage.expect`)
   */
  heldPages(count: number, pageBytes: number, expected: number): HeldPages;
  /** Whether the storage keeps a stream's room when pages of another stream have taken the place of its own. */
  readonly keepsRoom: boolean;
  /** Upper bound of what is allocated in a memory besides weights, activations and pages. */
  workingBytes(load: Load): number;
}
