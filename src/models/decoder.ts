/** @file The forward pass of a decoder-only transformer, written once against `Ops`: embedding, stages of layers, output head. */
import type { AttentionLayer, Buf, OnKernel, Ops, RowNorm, Step } from "../backends/ops.ts";
import type { Draw } from "../backends/sampling-ops.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import { isIndexState } from "../cache/states/state-shape.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import type { Prologue, StreamEnd } from "./blocks/block.ts";
import { bufferWidths, layerKindsOf, layoutOf, type ModelLayout, stateShapes } from "./layout.ts";
import { type LoadedWeights, loadWeights, type WeightOptions } from "./load-weights.ts";
import type { ModelConfig } from "./model-config.ts";
import { inOneMemory, numMemories, type Placement } from "./placement.ts";
import { isPlainNorm, Stage, stateNumbering } from "./stage.ts";
import { storedLayout } from "./tensor-forms.ts";

export interface DecoderOptions extends WeightOptions {
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly calibration?: readonly (LayerCalibration | null)[];
  /** Default: everything in the memory of the operations given. Further memories are opened as needed. */
  readonly placement?: Placement;
}

/** The largest number of rows of logits in a warm-up step. */
const WARM_UP_LOGITS = 8;

interface DecoderParts {
  /** The operations over each memory. */
  readonly memories: readonly Ops[];
  readonly placement: Placement;
  readonly config: ModelConfig;
  readonly layout: ModelLayout;
  readonly weights: LoadedWeights;
  readonly kv: KvSpec;
  readonly calibration: readonly (LayerCalibration | null)[];
}

export class Decoder {
  /** The operations over the first memory. They read back logits, wherever these are, and dispose of the whole backend. */
  readonly ops: Ops;
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly #parts: DecoderParts;
  /** One for each memory. */
  readonly #stages: readonly Stage[];
  /** Those that all rows of a step go through: the first, with the embedding, and those with layers. */
  readonly #chain: readonly Stage[];
  /** Null for a plain RMS norm, or none. */
  readonly #finalNorm: RowNorm | null;
  /** Null for embeddings as they are. */
  readonly #embeddingNorm: RowNorm | null;
  readonly #prologue: ReturnType<Prologue["bind"]> | null;
  /** Null for one residual stream. */
  readonly #streams: {
    readonly count: number;
    readonly begin: ReturnType<StreamEnd["bind"]>;
    readonly end: ReturnType<StreamEnd["bind"]>;
  } | null;
  #logits: Buf | null = null;

  private constructor(parts: DecoderParts) {
    const { memories, placement, config, layout, weights, kv, calibration } = parts;
    this.ops = memories[0]!;
    this.config = config;
    this.kv = kv;
    this.#parts = parts;
    this.#prologue = layout.prologue?.bind(weights.prologue) ?? null;
    const { streams } = layout;
    this.#streams = streams && {
      count: streams.count,
      begin: streams.begin.bind(weights.streams.begin),
      end: streams.end.bind(weights.streams.end),
    };
    this.#embeddingNorm = weights.embeddingNorm && { ...weights.embeddingNorm, add: false };
    const { finalNorm } = weights;
    this.#finalNorm = !finalNorm || isPlainNorm(finalNorm) ? null : { ...finalNorm, add: false };
    const stateIndex = stateNumbering();
    this.#stages = memories.map((ops, memory) => {
      const isHere = (_: unknown, layer: number): boolean => placement.layers[layer] === memory;
      return new Stage(ops, {
        layers: weights.layers.filter(isHere),
        firstLayer: placement.layers.indexOf(memory),
        stateIndex,
        kv,
        calibration,
        widths: bufferWidths(layout.layers.filter(isHere), config.hiddenSize, layout),
      });
    });
    this.#chain = this.#stages.filter((_, memory) => memory === 0 || placement.layers.includes(memory));
  }

  static async load(ops: Ops, checkpoint: Checkpoint, options: DecoderOptions): Promise<Decoder> {
    const { config, calibration = [], placement = inOneMemory(config.numLayers) } = options;
    const layout = storedLayout(layoutOf(config), await checkpoint.tensors());
    const kv = options.kv.forModel(layerKindsOf(layout));
    const memories = [ops];
    while (memories.length < numMemories(placement)) memories.push(await ops.addMemory!());
    const places = {
      embedding: ops,
      layers: placement.layers.map((memory) => memories[memory]!),
      head: memories[placement.head]!,
    };
    const weights = await loadWeights(places, checkpoint, layout, options);
    return new Decoder({ memories, placement, config, layout, weights, kv, calibration });
  }

  /**
   * A decoder of the same weights with another cache format. Weights are shared; each decoder has its own activations.
   *
   * calibration: for the new format, none by default · wrap: what to use in place of the operations over each memory
   * @throws TurboQuantError invalid_argument — the spec names layers the model does not have
   */
  withFormat(
    asked: KvSpec,
    calibration: readonly (LayerCalibration | null)[] = [],
    wrap: (ops: Ops) => Ops = (ops) => ops,
  ): Decoder {
    const kv = asked.forModel(layerKindsOf(this.#parts.layout));
    return new Decoder({ ...this.#parts, memories: this.#parts.memories.map(wrap), kv, calibration });
  }

  /** Parameters of a layer's attention, for benchmarks of single operations. */
  attentionLayer(layer: number): AttentionLayer {
    return this.#stages.flatMap(({ attentionLayers }) => attentionLayers)[layer]!;
  }

  /** The attention of layers with keys and values of their own, each with the operations over its memory. */
  get ownAttention(): readonly { readonly layer: AttentionLayer; readonly ops: Ops }[] {
    return this.#stages.flatMap(({ attentionLayers, ops }) =>
      attentionLayers.filter(({ isShared }) => !isShared).map((layer) => ({ layer, ops })),
    );
  }

  /** All that keeps rows of its own for each token, keys of indexers included, with the operations over its memory. */
  get keptLayers(): readonly { readonly ops: Ops; readonly layer: AttentionLayer }[] {
    return this.#stages.flatMap(({ ops, keptLayers }) => keptLayers.map((layer) => ({ ops, layer })));
  }

  /** Begins a step without running it, for callers that append rows of their own to `keptLayers`. */
  begin(step: Step): void {
    for (const stage of this.#chain) stage.begin(step);
  }

  /**
   * The shortest length whose ropes are those of `length`: 0 where they are the same at every length. Tokens that were read with the ropes
   * of different lengths are other tokens to attention, so prefixes are shared among equal ones only.
   */
  ropeLength(length: number): number {
    let longest = 0;
    for (const stage of this.#stages) longest = Math.max(longest, stage.ropeLength(length));
    return longest;
  }

  /**
   * A cache in this model's format.
   *
   * budgetBytes: limit for the pages of all its sequences together · keepsEveryToken: keep pages beyond a sliding window too,
   * for callers that inspect the cache
   */
  createCache(budgetBytes?: number, keepsEveryToken = false): KvCache {
    const { layout, memories, placement } = this.#parts;
    const states = stateShapes(layout);
    const pool = new PagePool(this.ops.pages, budgetBytes);
    const pools = memories.map(({ pages }, memory) => (memory === 0 ? pool : pool.beside(pages)));
    return new KvCache(
      states.map(({ shape }) => (keepsEveryToken && shape.kind === "kv" ? { ...shape, slidingWindow: 0 } : shape)),
      (index) => this.kv.forLayer(states[index]!.layer, isIndexState(states[index]!.shape)),
      pool,
      (index) => pools[placement.layers[states[index]!.layer]!]!,
      (index) => states[index]!.layer,
    );
  }

  /** Bytes the weights take on the backend; a tied head counts once. */
  get weightBytes(): number {
    return this.#parts.weights.numBytes;
  }

  /** Number of weights of each type that they are kept in on the backend. */
  get weightsOfType(): Readonly<Record<string, number>> {
    return this.#parts.weights.numOfType;
  }

  /**
   * Runs one step, whose positions the sequences have reserved.
   * returns: logits [logitRows.length][vocabSize] f32
   */
  async forward(step: Step): Promise<Float32Array> {
    const logits = this.queue(step);
    if (!logits) return new Float32Array(0);
    return this.ops.readback(logits, (step.logitRows.length - (step.hiddenRows ?? 0)) * this.config.vocabSize);
  }

  /**
   * Queues one step, whose positions the sequences have reserved, and does not wait for it.
   * returns: logits [logitRows.length less hiddenRows][vocabSize], valid until the next step is queued; null without rows of logits
   */
  queue(step: Step): Buf | null {
    return this.#queueLayers(step) ? this.#queueHead(step.logitRows.length, step.hiddenRows) : null;
  }

  /**
   * The rows that the head reads of the step that was queued last, behind the final norm: what other programs call the last hidden state.
   * returns: [hiddenRows][hiddenSize] f32
   */
  readHidden({ logitRows, hiddenRows = 0 }: Step): Promise<Float32Array> {
    const { hiddenSize } = this.config;
    const { ops } = this.#headStage;
    const first = logitRows.length - hiddenRows;
    return ops.readback(this.#headStage.buffer("normed"), hiddenRows * hiddenSize, first * hiddenSize);
  }

  /**
   * Runs one step, whose positions the sequences have reserved, up to the rows that the final norm and the head read: few numbers from
   * which `headLogits` makes the logits that `forward` gives, bit by bit.
   * returns: [logitRows.length][hiddenSize] f32
   */
  async forwardToHead(step: Step): Promise<Float32Array> {
    const rows = this.#queueLayers(step);
    return rows ? this.ops.readback(rows, step.logitRows.length * this.config.hiddenSize) : new Float32Array(0);
  }

  /**
   * The logits of rows that `forwardToHead` gave, of this model in any cache format.
   *
   * rows: [n][hiddenSize], of the steps as they were: a backend may choose its kernels by their number
   * returns: [n][vocabSize] f32
   */
  async headLogits(rows: Float32Array): Promise<Float32Array> {
    const { hiddenSize, vocabSize } = this.config;
    const count = rows.length / hiddenSize;
    const stage = this.#headStage;
    // Rows come to the device as those of an embedding table, which has at least two of them: a single one would be a vector.
    const table = Math.max(2, count);
    const values = new Float32Array(table * hiddenSize);
    values.set(rows);
    const writer = stage.ops.createWeight(table, hiddenSize, "f32");
    await writer.write({ dtype: "f32", rows: table, cols: hiddenSize, data: new Uint8Array(values.buffer) }, 0);
    const weight = writer.finish();
    try {
      const all = Int32Array.from({ length: count }, (_, row) => row);
      const step = { tokens: all, positions: new Int32Array(count), spans: [], logitRows: all };
      stage.reserveRows(count);
      // Nothing is appended, so there is nothing to turn.
      stage.ops.beginStep(step, []);
      stage.ops.embed(step, weight, stage.buffer("normed"));
      return await this.ops.readback(this.#queueHead(count)!, count * vocabSize);
    } finally {
      stage.ops.freeWeight(weight);
    }
  }

  /** Queues a step up to the rows that the final norm reads, in the head's memory; null without logit rows. */
  #queueLayers(step: Step): Buf | null {
    const { hiddenSize } = this.config;
    const { embedding, positions } = this.#parts.weights;
    const headStage = this.#headStage;
    const inputs = this.#parts.layout.handed;
    const count = step.logitRows.length;
    // All stages make room before the first computes.
    this.begin(step);
    headStage.reserveRows(count);
    let stage = this.#chain[0]!;
    let hidden = stage.buffer("hidden");
    stage.ops.embed(step, embedding, hidden, this.#parts.layout.embeddingScale);
    if (positions) stage.ops.addPositions(step, positions, hidden);
    if (this.#embeddingNorm) stage.ops.norm(hidden, this.#embeddingNorm, step.tokens.length, hidden);
    this.#prologue?.(stage.at(step), hidden);
    const streams = this.#streams;
    streams?.begin(stage.at(step), stage.buffer("streams"), hidden);
    // What goes from a stage to the next.
    const handed = streams ? "streams" : "hidden";
    const width = (streams?.count ?? 1) * hiddenSize;
    for (const next of this.#chain) {
      if (next !== stage) {
        const own = next.buffer("hidden");
        next.ops.receive!(stage.buffer(handed), step.tokens.length * width, next.buffer(handed));
        for (const { name, width: rowWidth } of inputs)
          next.ops.receive!(stage.buffer(name), step.tokens.length * rowWidth, next.buffer(name));
        stage = next;
        hidden = own;
      }
      stage.run(step, hidden);
    }
    if (count === 0) return null;
    let normed = stage.buffer("normed");
    if (streams) {
      const gathered = stage.buffer("gatheredStreams");
      stage.ops.gatherRows(step, stage.buffer("streams"), width, gathered);
      streams.end({ ...stage.at(step), rows: count }, gathered, normed);
    } else stage.ops.gatherRows(step, hidden, hiddenSize, normed);
    if (headStage !== stage) {
      const own = headStage.buffer("normed");
      headStage.ops.receive!(normed, count * hiddenSize, own);
      normed = own;
    }
    return normed;
  }

  /** Queues the final norm of the rows that `#queueLayers` left, and the head of all but the last `hidden`; null where none are left. */
  #queueHead(count: number, hidden = 0): Buf | null {
    const { vocabSize, traits } = this.config;
    const { finalNorm, head, headBias } = this.#parts.weights;
    const headStage = this.#headStage;
    const normed = headStage.buffer("normed");
    if (this.#finalNorm) headStage.ops.norm(normed, this.#finalNorm, count, normed);
    else if (finalNorm) headStage.ops.rmsNorm(normed, finalNorm.weight, finalNorm.eps, count, normed);
    const rows = count - hidden;
    if (rows === 0) return null;
    const logits = this.#logitsFor(rows);
    headStage.ops.linear(normed, head, headBias, rows, logits, false);
    if (traits.logitSoftcap > 0) headStage.ops.softcap(logits, rows * vocabSize, traits.logitSoftcap);
    return logits;
  }

  /**
   * Prepares what steps over `cache` need, before the first one: the maps of a calibration
   * and, on backends with kernels to compile, the kernels for one token, a few tokens, chunks
   * of up to `chunkTokens` at any place before `contextLength`, and sampling with `draws`.
   * @throws TurboQuantError unsupported — the backend has no kernel for the cache's format
   */
  async warmUp(
    cache: KvCache,
    { chunkTokens, contextLength }: { readonly chunkTokens: number; readonly contextLength: number },
    draws: readonly Draw[],
    onKernel?: OnKernel,
  ): Promise<void> {
    const most = Math.min(chunkTokens, contextLength);
    // Computing the maps takes tenths of a second for a large layer. They are made here so that the first token does not pay for it.
    for (const { attentionLayers } of this.#stages) for (const { kv } of attentionLayers) void kv.transforms;
    // Attention chooses its kernels by the number of rows and of keys. The least and the most of both cover all choices.
    await this.ops.warmUp?.(
      most,
      (rows) => this.#warmUpStep(cache, rows, rows === most ? contextLength - rows : 0, rows === 1 ? draws : []),
      onKernel,
    );
  }

  #warmUpStep(cache: KvCache, rows: number, start: number, draws: readonly Draw[]): void {
    const { ops, config } = this;
    const sequence = cache.createSequence();
    // Kernels for several rows of logits are compiled for callers that run sequences side by side, but the buffer is freed:
    // most callers never need one of that size.
    if (rows === 1) this.#freeLogits();
    let logits: Buf | null = null;
    const queue = (): void => {
      logits = this.queue({
        tokens: new Int32Array(rows),
        positions: new Int32Array(rows),
        spans: [{ sequence, start, count: rows, row: 0 }],
        logitRows: Int32Array.from({ length: Math.min(rows, WARM_UP_LOGITS) }, (_, row) => row),
      });
    };
    queue();
    for (const draw of draws) {
      const stream = ops.sampling?.createStream(draw, config.vocabSize);
      void stream?.sample(logits!, 1, [0]);
      stream?.close();
    }
    sequence.release();
  }

  /** Frees activations and what was made from the calibration; no step may follow. Weights live as long as the backend. */
  dispose(): void {
    for (const stage of this.#stages) stage.dispose();
    this.#freeLogits();
  }

  #freeLogits(): void {
    if (this.#logits) this.#headStage.ops.free(this.#logits);
    this.#logits = null;
  }

  get #headStage(): Stage {
    return this.#stages[this.#parts.placement.head]!;
  }

  #logitsFor(count: number): Buf {
    const length = count * this.config.vocabSize;
    if (this.#logits && this.#logits.length >= length) return this.#logits;
    this.#freeLogits();
    this.#logits = this.#headStage.ops.alloc(length);
    return this.#logits;
  }
}
