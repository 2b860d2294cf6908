/**
 * @file The operations a backend implements. `models/decoder.ts` is written once against them.
 *
 * Activations are f32 in opaque buffers, row-major [rows][width]. Calls are in order and may be queued; only
 * `readback` waits. Rows of a step are the tokens of its spans, one after the other.
 */
import type { PageAddress, PageStorage } from "../cache/page-storage.ts";
import type { Sequence } from "../cache/sequence.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";
import type { WeightType } from "../weights/registry.ts";
import type { WeightPart } from "../weights/weight-part.ts";
import type { Activation, ActivationKind } from "./activation.ts";
import type { AttentionLayer, ChosenTokens, TokenBlocks, TokenRuns } from "./attention-layer.ts";
import type { Buf, Weight } from "./buffers.ts";
import type { Capabilities } from "./capabilities.ts";
import type { ColumnRun } from "./column-runs.ts";
import type { ExpertHeadScratch, ExpertHeads, ExpertScratch, Experts, Router } from "./experts.ts";
import type { HeadProduct } from "./head-product.ts";
import type { HeadTurn } from "./head-turn.ts";
import type { OutsideBuffers } from "./outside-buffers.ts";
import type { QueryGrowth } from "./query-growth.ts";
import type { RowParts } from "./row-parts.ts";
import type { DeviceSampling, TokenStream } from "./sampling-ops.ts";
import type { Columns, Compression, Convolution, DeltaRule, Gates, Ngrams, Scan, ScanInputs } from "./state-ops.ts";
import type { StreamFactors, StreamMatch, StreamMix } from "./stream-mix.ts";

export type { AttentionLayer, ChosenTokens, TokenBlocks, TokenRuns } from "./attention-layer.ts";
export type { ColumnRun } from "./column-runs.ts";
export type { HeadProduct } from "./head-product.ts";
export type { HeadTurn } from "./head-turn.ts";
export type { RowParts } from "./row-parts.ts";
export type {
  Columns,
  Compression,
  Convolution,
  DeltaRule,
  Gates,
  Ngrams,
  Scan,
  ScanInputs,
  StatePart,
} from "./state-ops.ts";
export type { StreamFactors, StreamMatch, StreamMix } from "./stream-mix.ts";
export type { Activation, ActivationKind, Buf, Weight, WeightPart, WeightType };

/** A weight matrix that is being loaded, some of its rows at a time. */
export interface WeightWriter {
  /**
   * Converts the part to rows [row, row + part.rows) of the matrix. The part's bytes are not needed afterwards. A promise is for
   * callers that write much: what is under way to a device stays bounded if they wait for it.
   *
   * returns: whether all values are known to be finite, so that the caller need not look
   * @throws TurboQuantError invalid_argument — bytes or columns that do not fit; unsupported — no kernels for this type
   */
  write(part: WeightPart, row: number): boolean | Promise<boolean>;
  /** The weight, when all its rows are written. */
  finish(): Weight;
}

/** Memory of a backend in which bytes of a checkpoint may lie. */
export interface LentMemory {
  readonly bytes: Uint8Array;
  /** Nothing reads or writes it any more. */
  giveBack(): void;
}

/** The part of a step that belongs to one sequence: rows [row, row + count) are its positions [start, start + count). */
export interface Span {
  readonly sequence: Sequence;
  readonly start: number;
  readonly count: number;
  readonly row: number;
  /**
   * Length of the prompt that the tokens are part of, so that ropes that depend on the length are those of it for all its chunks. Tokens
   * behind it have the rope of the length that they make. Absent: start + count.
   */
  readonly knownLength?: number | undefined;
}

export interface Step {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly spans: readonly Span[];
  /** Rows whose logits are needed, and behind them those that are needed as they are. */
  readonly logitRows: Int32Array;
  /** The last so many of `logitRows` are wanted as the head reads them, and no logits of theirs; default 0. */
  readonly hiddenRows?: number;
  /** When set, row r takes token r of this stream's latest `sample` instead of `tokens[r]`, because the host does not know it yet. */
  readonly tokensFrom?: TokenStream;
}

/**
 * cos/sin for position p and pair i: angle p · invFreq[i]; both are multiplied by `attentionFactor` (YaRN). A pair whose frequency is 0 stays
 * as it is.
 */
export interface Rope {
  readonly invFreq: Float64Array;
  readonly attentionFactor: number;
  /** Absent: queries do not grow. */
  readonly queryGrowth?: QueryGrowth;
  /**
   * Of each row of the step, where its sequences have different ones: as many frequencies, and their factor; queries grow as this rope says.
   * Absent: this one for all rows.
   */
  readonly ofRows?: readonly Rope[];
}

/**
 * A norm of rows: x over its root mean square, or with `layer` (LayerNorm) x less its mean, over its deviation; times weight, plus bias. With `none`
 * x is multiplied by the weight as it is.
 */
export interface RowNorm {
  readonly kind: "rms" | "layer" | "none";
  readonly weight: Weight;
  readonly bias: Weight | null;
  readonly eps: number;
  /** Whether the result is added to `out`. */
  readonly add: boolean;
  /** The weight's columns are those from `first` on, of rows of `stride` values in x and in out. Default: whole rows. */
  readonly first?: number;
  readonly stride?: number;
  /** Whether rows of out have the normed columns alone. */
  readonly isCompact?: boolean;
  /** Parts of equal width of a whole row that are normed each by itself, with weights of their own. Default: 1. */
  readonly groups?: number;
  /** One value that every result is multiplied by, after what it is added to (Gemma 4's factor of a layer). Default: 1. */
  readonly factor?: Weight | null;
  /**
   * Of `layer`: instead of the norm, x less its mean and so many deviations, and 0 where that is negative (the activation sparsity of
   * Gemma 3n). `eps` does not count.
   */
  readonly cutoff?: number;
  /** Of `rms`: rows whose length the result has, before its weight: x · rms(like) / max(rms(x), √eps). Columns as in x. */
  readonly like?: Columns & { readonly rows: Buf };
}

/** Memory of a backend for weights, cache and everything else. */
export interface BackendMemory {
  /** Name of the backend in messages, e.g. "the wasm backend". */
  readonly what: string;
  /** Infinity when the platform does not tell. */
  readonly bytes: number;
  /** The most memories of so many bytes (`Ops.addMemory`); absent: this one. */
  readonly count?: number;
  /** The most bytes for the pages of one layer. Larger weights are cut. */
  readonly bindingBytes: number;
}

/** Called with the number of kernels that are compiled, and of all that are being compiled. */
export type OnKernel = (done: number, total: number) => void;

export interface Ops {
  /** Of its backend, where it belongs to one of the registry: then loading asks that backend's planner what fits. */
  readonly name: string;
  /** Absent when only the system limits memory. */
  readonly memory?: BackendMemory;
  /** Storage of KV pages in this memory. */
  readonly pages: PageStorage;
  /** Bytes of weights, activations, pages, tables and scratch at present in all memories; absent when they are not counted. */
  readonly usedBytes?: number;
  /** Tokens in a prefill step: enough to use the backend well, and few enough that an abort takes effect soon. */
  readonly chunkTokens: number;
  /** Absent when the host has to draw tokens. */
  readonly sampling?: DeviceSampling;
  /** Absent where no memory is shared with others. */
  readonly outside?: OutsideBuffers;
  /** What was done otherwise than a user may expect when it was opened, a sentence each. */
  readonly notes?: readonly string[];
  /** One line for `--explain`: variant, threads, features. */
  describe(): string;
  /** Further lines for `--explain`. */
  explain?(): string[];

  /** Of this device: at most those of its backend. */
  readonly capabilities: Capabilities;
  /**
   * Whether a token's keys and values in such a cache are equal bit for bit when it is generated and when it is read as part of
   * a prompt. Then generated tokens can be read again like a prompt.
   */
  isRowInvariant(format: LayerKvFormat): boolean;

  /**
   * Calls `queue` for those numbers of rows, up to `mostRows`, at which kernels change, the largest first and 1 last. `queue`
   * queues a step of that many rows, but nothing is computed. When the promise resolves, everything such steps need is ready.
   * Absent when nothing can be prepared.
   *
   * onKernel: called with 0 first and then for each kernel; not at all when there are none to compile
   * @throws TurboQuantError unsupported — a format without a kernel here
   */
  warmUp?(mostRows: number, queue: (rows: number) => void, onKernel?: OnKernel): Promise<void>;

  /**
   * Stacks the rows of all parts into one matrix of type `as`. Parts that are stored in this type keep their codes.
   * @throws TurboQuantError invalid_argument — shapes that do not stack; unsupported — no kernels for this type
   */
  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight;
  /**
   * Allocates a matrix [rows][cols] of type `as`, for rows that come one piece after the other. Those of a `unit`, of which there
   * are whole ones (default: single rows), are not divided between buffers.
   * @throws TurboQuantError out_of_memory; unsupported — no kernels for this type
   */
  createWeight(rows: number, cols: number, as: WeightType, unit?: number): WeightWriter;
  /**
   * Memory for the bytes of a checkpoint on their way: parts that lie in it are converted without a copy. Null where there is no room;
   * absent where that is no use. Once at a time.
   */
  lendMemory?(numBytes: number): LentMemory | null;
  /** Gives back the memory of a weight that nothing uses any more. */
  freeWeight(weight: Weight): void;
  alloc(length: number): Buf;
  free(buf: Buf): void;

  /**
   * Begins a step whose sequences have reserved its positions: prepares what all its operations read (rows, spans, block
   * tables, RoPE angles, states). Operations that take a step belong to the one begun last; a step may be begun
   * again. Steps may be queued one after the other without waiting.
   *
   * ropes: those that layers refer to by index; may be empty for a step that appends nothing
   */
  beginStep(step: Step, ropes: readonly Rope[]): void;
  /**
   * out[row] = scale · table[tokens[row]]; scale: default 1
   * @throws TurboQuantError invalid_argument — a token outside the table
   */
  embed(step: Step, table: Weight, out: Buf, scale?: number): void;
  /**
   * out[row] = the parts of the table's rows that the n-grams ending in the row's token have, one behind the other; see `Ngrams`. Writes the states that
   * the step leaves. Where `Capabilities.readsTokens` says so; the host knows the step's tokens.
   *
   * out: [rows][ngrams.heads.length · table.cols]
   */
  embedNgrams(step: Step, ngrams: Ngrams, table: Weight, out: Buf): void;
  /** out[row] += table[positions[row]]: learned positions (GPT-2). Positions are within the table. */
  addPositions(step: Step, table: Weight, out: Buf): void;
  /**
   * out[r] = x[r] / rms(x[r]) · weight, width = weight.cols
   *
   * May be computed when `out` is read, by a product together with its own work: x keeps its values until the last such read.
   */
  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void;
  /** out[r] (+)= norm of x[r]; `out` may be x. See `rmsNorm` for the plain one of whole rows. */
  norm(x: Buf, norm: RowNorm, rows: number, out: Buf): void;
  /**
   * out[r] (+)= w · x[r] (+ bias) for r < rows; with `add`, the product is added to out (the residual).
   *
   * |x| up to 2^27: kernels may scale what they multiply. A row with a NaN or an infinity has no finite output; others are as without it.
   * w is a matrix: a single row or column in f32 is a vector (`Weight`), which is refused.
   */
  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void;
  /**
   * For every row of the step: norms heads, applies RoPE to Q and K, shifts, balances and rotates, quantizes, and writes K and
   * V to the pages of the row's sequence and position. Leaves in `q` the rotated and balanced query for `attend`.
   *
   * qkv: [rows][(numHeads + numKvHeads)·headDim + numKvHeads·valueDim] as q|k|v · q: [rows][numHeads·headDim]
   */
  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void;
  /**
   * Codes a full page anew for a coarser tier, between steps. Absent where formats with tiers are refused.
   * tier: the one that it enters, from 0 on · from: a page of the tier before · to: a page of the tier, of undefined bytes
   */
  coarsen?(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void;
  /**
   * Latent attention: for every row of the step rotates and quantizes the latent, turns the rotary part, and writes both to the pages of
   * the row's sequence and position. Queries are prepared for `attend` in place: rotated, turned, multiplied by the scale.
   *
   * Where a row stands for several tokens (`layer.tokensPerRow`), `latent` has those that end in the step, as `compress` leaves them, and a row's position
   * is that of its first token.
   *
   * latent: [rows][headDim + rotaryKeyDim], the latent normed · q: [rows][numHeads·(headDim + rotaryKeyDim)]
   */
  appendLatent(step: Step, layer: AttentionLayer, latent: Buf, q: Buf): void;
  /**
   * Turns coordinates of heads by their positions in place, see `HeadTurn`.
   *
   * x: [rows][numHeads · headDim] of the step, or of the rows that end in it (`turn.tokensPerRow`) · where `Capabilities.compressesTokens` says so
   */
  turnHeads(step: Step, x: Buf, turn: HeadTurn): void;
  /**
   * The product of every head of every row, see `HeadProduct`. w: a matrix of at least two columns
   * x: [rows][numHeads·inputWidth] · out: [rows][numHeads·outputWidthOf(product, w.cols)], another buffer
   */
  multiplyHeads(x: Buf, w: Weight, product: HeadProduct, rows: number, out: Buf): void;
  /**
   * out[row] = attention of q[row] over its sequence's cache up to its own position, rotated back; with `chosen`, over these tokens alone, where
   * `Capabilities.choosesTokens` says so and the layer has no sliding window.
   *
   * logSums: gets the logarithm of each query's sum of weights, sinks included, and −1e30 where it attends to nothing, whose output is 0: two attentions of
   * the same queries to different keys make one of both by them · q: [rows][numHeads·(headDim + rotaryKeyDim)] · out: [rows][numHeads·valueDim] ·
   * logSums: [rows][numHeads], where `Capabilities.compressesTokens` says so
   */
  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf, chosen?: ChosenTokens, logSums?: Buf): void;
  /**
   * Chooses the tokens that each row attends to by keys of an indexer (DeepSeek-V3.2): those of its sequence up to its own with the largest
   * Σ weights[head] · max(0, q[head] · key) over the heads, the first of equal ones. Without weights each head has a list of its own, by
   * q[head] · key, of the best blocks; with runs the sums have no weights, and rows stand for so many tokens. Of such a layer weights choose rows.
   *
   * layer: that of the indexer, whose rows `appendLatent` has stored and whose queries it has prepared · by: weights [rows][numHeads], or blocks, or runs
   */
  chooseTokens(
    step: Step,
    layer: AttentionLayer,
    q: Buf,
    by: Buf | TokenBlocks | TokenRuns,
    chosen: ChosenTokens,
  ): void;
  /**
   * `linear` and `swiglu` in one, where a backend has that for so many rows: out[r][i] = silu(w[i] · x[r]) · (w[width + i] · x[r]).
   *
   * gateUp: [2 · width][cols] · out: [rows][width] · returns: false when nothing was done
   */
  gatedLinear?(x: Buf, gateUp: Weight, rows: number, out: Buf): boolean;
  /** out[r][i] = silu(gateUp[r][i]) · gateUp[r][width + i] */
  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void;
  /**
   * out[r][i] = act(x[r][i]), or act(x[r][i]) · x[r][width + i] with a gate
   *
   * With `clamp`, act of gate and what it is multiplied by are those of `Activation.clamp`.
   *
   * gelu: x · Φ(x) · gelu_tanh: its approximation by tanh · quick_gelu: x / (1 + exp(−1.702 x)) · relu: max(x, 0) · relu2: max(x, 0)² ·
   * xielu: with p = softplus(alphaP) and
   * n = 0.5 + softplus(alphaN), p·x² + x/2 for x > 0 and n·(eˣ − 1 − x) + x/2 otherwise (arXiv 2411.13010)
   */
  activate(x: Buf, activation: Activation, rows: number, width: number, out: Buf): void;
  /**
   * For every row of the step: out[row][c] = act(Σ taps[c][j] · u[row − kernel + 1 + j][c] (+ bias[c])) (· gate), over the rows of its
   * sequence; u[row] is x[row], times its gate. Writes the tails of the states that the step leaves.
   *
   * x: rows as `convolution.input` says · out: [rows][channels], another buffer than x
   */
  convolve(step: Step, convolution: Convolution, x: Buf, out: Buf): void;
  /**
   * The means of tokens that end in the step, one after the other in the order of its rows, see `Compression`. Writes what is kept of unfinished ones to
   * the states that the step leaves.
   *
   * x: rows as `compression` says · out: [means][width], another buffer than x · where `Capabilities.compressesTokens` says so
   */
  compress(step: Step, compression: Compression, x: Buf, out: Buf): void;
  /**
   * out[row] = what the gated delta rule gives for every row of the step, over the rows of its sequence; see `DeltaRule`. Writes the
   * states that the step leaves. Rows of one span may be computed together, so that results differ in the last bits from those of
   * single rows.
   *
   * qkv: [rows][2·numKeyHeads·keyDim + numHeads·valueDim] as q|k|v · rates, decays: rows as `rule.rate` and `rule.decay` say ·
   * out: [rows][numHeads·valueDim]
   */
  deltaRule(step: Step, rule: DeltaRule, qkv: Buf, rates: Buf, decays: Buf, out: Buf): void;
  /** x[r][i] ·= act(gates[r][i / repeat]) for i < width, in place; rows of `gates` are as `of` says, in another buffer */
  gate(x: Buf, gates: Buf, of: Gates, rows: number, width: number): void;
  /**
   * For every row of the step: the scan of its sequence's state, as `Scan` says. Writes the states that the step leaves. The same bits
   * whatever number of rows a step has, as long as `isRowInvariant` says so of what a cache keeps.
   *
   * out: [rows][numHeads · headDim], another buffer than the inputs
   */
  scan(step: Step, scan: Scan, inputs: ScanInputs, out: Buf): void;
  /**
   * Streams of a row: out[r][to.first + j] (+)= factor · Σ coefficients[r][first + j · from.count + i] · x[r][from.first + i] over i < from.count,
   * for each j < to.count. `out` may be x where both have as many streams.
   *
   * x: [rows][from.of][width] · coefficients: [rows][stride]; null: all 1 · out: [rows][to.of][width] · counts: 1 to MAX_STREAMS
   */
  mixStreams(x: Buf, mix: StreamMix, coefficients: Buf | null, rows: number, width: number, out: Buf): void;
  /**
   * out[r][s] = ±√max(|d|, floor) with the sign of d = scale · Σ x[r][s][i] · y[r][s][i], for each stream s; 0 where d is 0.
   *
   * x, y: [rows][streams][width] · out: [rows][streams] · where `Capabilities.readsTokens` says so
   */
  matchStreams(x: Buf, y: Buf, match: StreamMatch, rows: number, width: number, out: Buf): void;
  /**
   * Makes of the products of small matrices the factors of streams, in place; see `StreamFactors`. factors: [rows][as many as `of.bias` has] · where
   * `Capabilities.compressesTokens` says so
   */
  streamFactors(factors: Buf, of: StreamFactors, rows: number): void;
  /** x[r][i] ·= the factor of the run that i is in, in place. runs: 1 to MAX_RUNS, ascending; the last one ends at `width` */
  scaleColumns(x: Buf, runs: readonly ColumnRun[], rows: number, width: number): void;
  /**
   * Copies `count` parts of each row to parts of another width: of what is longer the end is left out, what is shorter gets zeros behind it.
   *
   * x: rows as `from` says · out: rows as `to` says, another buffer than x; the rest of its rows stays as it is
   */
  resizeParts(x: Buf, from: RowParts, count: number, rows: number, out: Buf, to: RowParts): void;
  /**
   * Chooses a row's experts by its logits. A row of `routes` is router.topK numbers of experts and then the weight of each.
   *
   * logits: [rows][router.stride] · routes: [rows][2 · topK]
   */
  route(logits: Buf, router: Router, rows: number, routes: Buf): void;
  /**
   * As `route`, with the experts that each row's token has in a table, whatever their scores.
   *
   * experts: a vector of numbers of experts, [tokens][topK] · where `Capabilities.readsTokens` says so
   */
  routeTokens(step: Step, logits: Buf, router: Router, experts: Weight, routes: Buf): void;
  /**
   * out[r] (+)= Σ weight · expert(x[r]) over the row's experts, with expert(x) = down(act(gate · x) ⊙ up · x) or down(act(up · x)).
   * Weights of experts that no row chose are not read. Where an expert's rows of `gateUp` or `down` are no multiple of 4, they are a unit of the weight.
   *
   * x: [rows][gateUp.cols] · routes: as `route` leaves them · out: [rows][down.rows / numExperts], another buffer than x
   */
  experts(x: Buf, routes: Buf, experts: Experts, rows: number, scratch: ExpertScratch, out: Buf, add: boolean): void;
  /**
   * The products of each row's experts, see `ExpertHeads`; with `add`, and only where heads are gathered, on top of what is in out.
   *
   * x, out: another buffer each; the one without heads has rows of as many values as the weight has columns, or an expert rows
   */
  multiplyExperts(
    x: Buf,
    routes: Buf,
    heads: ExpertHeads,
    rows: number,
    scratch: ExpertHeadScratch,
    out: Buf,
    add: boolean,
  ): void;
  /** x[i] = cap · tanh(x[i] / cap) for i < length, in place; cap: above 0 */
  softcap(x: Buf, length: number, cap: number): void;
  /** out[i] = x[step.logitRows[i]]: the rows whose logits are needed. */
  gatherRows(step: Step, x: Buf, width: number, out: Buf): void;

  /**
   * Waits for everything queued and copies values [start, start + length); default start: 0. The buffer may lie in any memory of
   * the device.
   */
  readback(buf: Buf, length: number, start?: number): Promise<Float32Array>;

  /** buf[i] = values[i], behind everything that is queued: the counterpart of `readback`. See `rmsNorm` for what may read the buffer later. */
  write(buf: Buf, values: Float32Array): void;

  /**
   * Opens another memory of the same device. The operations over it run on the same threads; weights, buffers, pages and begun
   * steps belong to the operations that made them. It is disposed of with this one. Absent where one memory is all there is.
   * @throws TurboQuantError out_of_memory — the system has no room for it
   */
  addMemory?(): Promise<Ops>;
  /** to[i] = from[i] for i < length, from a buffer of another memory of the device. Present where `addMemory` is. */
  receive?(from: Buf, length: number, to: Buf): void;

  /** Frees weights, buffers, pages and threads, in all memories of the device. Idempotent. */
  dispose(): Promise<void>;
}
