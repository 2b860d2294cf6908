/**
 * @file The operations a backend implements. `models/decoder.ts` is written once against them.
 *
 * Activations are f32 in opaque buffers, row-major [rows][width]. Calls are in order and may be queued; only
 * `readback` waits. Rows of a step are the tokens of its spans, one after the other.
 */
import type { LayerCache } from "../cache/layer-cache.ts";
import type { PageStorage } from "../cache/page-storage.ts";
import type { Sequence } from "../cache/sequence.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";
import type { PreparedLayer } from "../quant/prepared-layer.ts";
import type { WeightType } from "../weights/registry.ts";
import type { WeightPart } from "../weights/weight-part.ts";
import type { Capabilities } from "./capabilities.ts";

export type { WeightPart, WeightType };

/** An activation buffer of `length` f32. */
export interface Buf {
  readonly length: number;
}

/** A weight matrix [rows][cols] (a vector has rows = 1), resident on the backend. */
export interface Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  /** Bytes it occupies on the backend. */
  readonly numBytes: number;
}

/** The part of a step that belongs to one sequence: rows [row, row+count) are its positions [start, start+count). */
export interface Span {
  readonly sequence: Sequence;
  readonly start: number;
  readonly count: number;
  readonly row: number;
}

export interface Step {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly spans: readonly Span[];
  /** Rows whose logits are wanted. */
  readonly logitRows: Int32Array;
  /** Row r takes token r of this stream's latest `sample` instead of `tokens[r]`, which the host does not know yet. */
  readonly tokensFrom?: TokenStream;
}

/** cos/sin of position p and pair i: angle p · invFreq[i], both multiplied by `attentionFactor` (yarn). */
export interface Rope {
  readonly invFreq: Float64Array;
  readonly attentionFactor: number;
}

/** What attention of one layer needs besides the activations. */
export interface AttentionLayer {
  readonly index: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Layouts of its pages, as in the cache of every sequence of a step. */
  readonly cache: LayerCache;
  /** Format of its cache and calibration, and what backends keep for the two. */
  readonly kv: PreparedLayer;
  /** Attend only to the last `slidingWindow` positions, the own included; 0 for all. */
  readonly slidingWindow: number;
  /** Softmax scale, usually 1/√headDim. */
  readonly scale: number;
  /** Which of the ropes given to `beginStep` turns Q and K. */
  readonly rope: number;
  /** RMS-norm weights of Q and K heads (Qwen3), [headDim]. */
  readonly qNorm: Weight | null;
  readonly kNorm: Weight | null;
  readonly normEps: number;
}

/** How a token is drawn; fields as in the engine's `SamplingParams`. */
export interface Draw {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

export interface DeviceSample {
  readonly token: number;
  /** Natural log of the token's probability under the model, in f32. */
  readonly logprob: number;
  /** The first logit that is not finite; the token was then chosen among the others. */
  readonly notFinite?: { readonly token: number; readonly value: number };
}

/** Tokens drawn on the device one step after the other. Streams do not disturb each other. */
export interface TokenStream {
  /**
   * Queues the draw of one token from each of the rows [firstRow, firstRow + rows) of logits [any][vocabSize]. Steps queued
   * from now on may take these tokens. The promise resolves when they are on the host and holds up nothing that is queued later.
   *
   * rows: 1 to the sampling's `maxRows` · uniforms: one number in [0, 1) for each row; not read when greedy
   */
  sample(logits: Buf, rows: number, uniforms: readonly number[], firstRow?: number): Promise<readonly DeviceSample[]>;
  /** Lets the stream's buffers go to another one. Steps that take its tokens are queued by then. Idempotent. */
  close(): void;
}

/** Choosing tokens where the logits are: the next step can begin before the host knows the token. */
export interface DeviceSampling {
  /** Most rows that one stream draws in a step. */
  readonly maxRows: number;
  /** Null when the device cannot draw like this: draw on the host. */
  createStream(draw: Draw, vocabSize: number): TokenStream | null;
}

/** What a backend has for weights, cache and work together. */
export interface BackendMemory {
  /** How messages call it: "the wasm backend". */
  readonly what: string;
  /** Infinity where the platform does not say. */
  readonly bytes: number;
  /** Most bytes of the pages of one layer. Weights are cut where they are larger. */
  readonly bindingBytes: number;
}

/** How many of the kernels that are being made are there. */
export type OnKernel = (done: number, total: number) => void;

export interface Ops {
  /** Of its backend, where it belongs to one of the registry: then loading asks that backend's planner what fits. */
  readonly name: string;
  /** Absent where nothing but the system limits it. */
  readonly memory?: BackendMemory;
  /** Memory for KV pages. */
  readonly pages: PageStorage;
  /** Bytes that weights, activations, pages, tables and scratch take now. Absent where nobody counts. */
  readonly usedBytes?: number;
  /** Tokens of a prefill step that use this backend well and can still be interrupted soon. */
  readonly chunkTokens: number;
  /** Absent where the host samples. */
  readonly sampling?: DeviceSampling;
  /** One line for `--explain`: variant, threads, features. */
  describe(): string;
  /** More lines for `--explain`, if there is more to say. */
  explain?(): string[];

  /** Of this device: at most those of its backend. */
  readonly capabilities: Capabilities;
  /**
   * Whether a token's keys and values over such a cache are the same bits when it is generated and when it is read as part of a
   * prompt. Then generated tokens can be read again like a prompt.
   */
  isRowInvariant(format: LayerKvFormat): boolean;

  /**
   * Calls `queue` for the numbers of rows, up to `mostRows`, at which kernels change, the largest first and 1 last; `queue`
   * queues a step of so many rows, and nothing is computed. What such steps need is there when the promise resolves.
   * Absent where nothing is to be made ahead.
   *
   * onKernel: told of 0 kernels first and then of each; not at all where there are none to make
   * @throws TurboQuantError unsupported — a format that has no kernel here
   */
  warmUp?(mostRows: number, queue: (rows: number) => void, onKernel?: OnKernel): Promise<void>;

  /**
   * Stacks the parts' rows into one matrix of type `as`. Parts that are stored in it are kept as they are, code by code.
   * @throws TurboQuantError invalid_argument — shapes that do not stack; unsupported — no kernels for this type
   */
  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight;
  alloc(length: number): Buf;
  free(buf: Buf): void;

  /**
   * Begins a step whose sequences have reserved its positions: lays out what all its operations read (rows, spans, block
   * tables, angles of RoPE). `embed`, `appendKv`, `attend` and `gatherRows` belong to the step that was begun last; a step may
   * be begun again. Nothing of an earlier step is needed then, so steps may be queued one after the other without waiting.
   *
   * ropes: those that the layers name by index; may be empty for a step that appends nothing
   */
  beginStep(step: Step, ropes: readonly Rope[]): void;
  /**
   * out[row] = table[tokens[row]]
   * @throws TurboQuantError invalid_argument — a token that is not in the table
   */
  embed(step: Step, table: Weight, out: Buf): void;
  /** out[r] = x[r] / rms(x[r]) · weight, width = weight.cols */
  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void;
  /** out[r] (+)= w · x[r] (+ bias) for r < rows; `add` accumulates into out (the residual). */
  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void;
  /**
   * For every row of the step: norm Q and K heads, apply RoPE, shift/balance/rotate, quantize and write K and V to the
   * pages of the spans' sequences at the rows' positions, and leave in `q` what `attend` needs (rotated, balanced query).
   *
   * qkv: [rows][(numHeads + 2·numKvHeads)·headDim] as q | k | v · q: [rows][numHeads·headDim]
   */
  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void;
  /** out[row] = attention of q[row] over its sequence's cache up to its own position, un-rotated. Same shape as q. */
  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf): void;
  /** out[r][i] = silu(gateUp[r][i]) · gateUp[r][width + i] */
  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void;
  /** The rows whose logits are wanted: out[i] = x[step.logitRows[i]] */
  gatherRows(step: Step, x: Buf, width: number, out: Buf): void;

  /** Waits for everything queued and copies the values [start, start + length); `start` is 0 by default. */
  readback(buf: Buf, length: number, start?: number): Promise<Float32Array>;
  /** Frees weights, buffers, pages and threads. Idempotent. */
  dispose(): Promise<void>;
}
