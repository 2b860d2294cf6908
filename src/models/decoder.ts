/** @file The forward pass of a decoder-only transformer, written once against `Ops`. Families differ in data only. */
import type {
  AttentionLayer,
  Buf,
  Draw,
  OnKernel,
  Ops,
  Rope,
  Step,
  Weight,
  WeightPart,
  WeightType,
} from "../backends/ops.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import { kvTransforms } from "../quant/kv-transform.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import type { ModelConfig } from "./config.ts";
import { ropeFor } from "./rope.ts";

/** Where weights come from: a checkpoint, or a generator of random ones for benchmarks. */
export interface WeightSource {
  part(name: string): Promise<WeightPart>;
}

export interface DecoderOptions {
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  /** `auto`: as stored. With `q4` the embedding and the head are q8. */
  readonly weights: WeightType | "auto";
  readonly calibration?: readonly (LayerCalibration | null)[];
  /** Called after each loaded matrix. */
  readonly onWeight?: (name: string, index: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Every logit is a product with the head, and every token a row of the embedding: beside q4 they are kept in int8. */
export function embeddingType(weights: WeightType | "auto"): WeightType | "auto" {
  return weights === "q4" ? "q8" : weights;
}

/** Most rows of logits of a rehearsed step. */
const REHEARSED_LOGITS = 8;

interface LayerWeights {
  readonly attention: AttentionLayer;
  readonly inputNorm: Weight;
  readonly qkv: Weight;
  readonly qkvBias: Weight | null;
  readonly output: Weight;
  readonly postNorm: Weight;
  readonly gateUp: Weight;
  readonly down: Weight;
}

interface Activations {
  readonly rows: number;
  readonly hidden: Buf;
  readonly normed: Buf;
  readonly qkv: Buf;
  readonly query: Buf;
  readonly attended: Buf;
  readonly gateUp: Buf;
  readonly activated: Buf;
}

type Widths = Pick<ModelConfig, "hiddenSize" | "numHeads" | "numKvHeads" | "headDim" | "intermediateSize">;

/** f32 values of a row in each activation buffer. */
export function activationWidths({ hiddenSize, numHeads, numKvHeads, headDim, intermediateSize }: Widths) {
  const q = numHeads * headDim;
  return {
    hidden: hiddenSize,
    normed: hiddenSize,
    qkv: q + 2 * numKvHeads * headDim,
    query: q,
    attended: q,
    gateUp: 2 * intermediateSize,
    activated: intermediateSize,
  } as const;
}

export class Decoder {
  readonly ops: Ops;
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly #embedding: Weight;
  readonly #finalNorm: Weight;
  readonly #head: Weight;
  readonly #layers: readonly LayerWeights[];
  #rope: { readonly rope: Rope; readonly upTo: number };
  #activations: Activations | null = null;
  #logits: Buf | null = null;

  private constructor(
    ops: Ops,
    options: DecoderOptions,
    weights: { embedding: Weight; finalNorm: Weight; head: Weight; layers: readonly LayerWeights[] },
  ) {
    this.ops = ops;
    this.config = options.config;
    this.kv = options.kv;
    this.#embedding = weights.embedding;
    this.#finalNorm = weights.finalNorm;
    this.#head = weights.head;
    this.#layers = weights.layers;
    this.#rope = ropeFor(options.config, 0);
  }

  static async load(ops: Ops, source: WeightSource, options: DecoderOptions): Promise<Decoder> {
    const { config } = options;
    options.kv.validateLayers(config.numLayers);
    const total = 3 + config.numLayers * 6;
    let loaded = 0;
    const load = async (
      names: readonly string[],
      as: WeightType | "auto" = options.weights,
      reshape: (part: WeightPart) => WeightPart = (part) => part,
    ): Promise<Weight> => {
      options.signal?.throwIfAborted();
      const parts: WeightPart[] = [];
      for (const name of names) parts.push(reshape(await source.part(name)));
      const stored = parts.some((p) => p.dtype !== parts[0]!.dtype) ? "f32" : parts[0]!.dtype;
      const weight = ops.loadWeight(parts, as === "auto" ? stored : as);
      options.onWeight?.(names[0]!, ++loaded, total);
      return weight;
    };
    // Norms and biases stay f32: they are tiny, and kernels read them as such.
    const vector = (name: string) => load([name], "f32");
    /** Biases of projections that run as one matrix, one below the other: [rows][1]. */
    const bias = (names: readonly string[]): Promise<Weight> =>
      load(names, "f32", (part) => ({ ...part, rows: part.rows * part.cols, cols: 1 }));

    const embedding = await load(["model.embed_tokens.weight"], embeddingType(options.weights));
    const layers: LayerWeights[] = [];
    for (let index = 0; index < config.numLayers; index++) {
      const at = (name: string) => `model.layers.${index}.${name}.weight`;
      const projections = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
      layers.push({
        inputNorm: await vector(at("input_layernorm")),
        qkv: await load(projections.map(at)),
        qkvBias: config.attentionBias ? await bias(projections.map((p) => `model.layers.${index}.${p}.bias`)) : null,
        output: await load([at("self_attn.o_proj")]),
        postNorm: await vector(at("post_attention_layernorm")),
        gateUp: await load([at("mlp.gate_proj"), at("mlp.up_proj")]),
        down: await load([at("mlp.down_proj")]),
        attention: {
          index,
          numHeads: config.numHeads,
          numKvHeads: config.numKvHeads,
          headDim: config.headDim,
          format: options.kv.forLayer(index),
          slidingWindow: config.slidingWindow(index),
          scale: 1 / Math.sqrt(config.headDim),
          qNorm: config.qkNorm ? await vector(at("self_attn.q_norm")) : null,
          kNorm: config.qkNorm ? await vector(at("self_attn.k_norm")) : null,
          normEps: config.rmsNormEps,
          calibration: options.calibration?.[index] ?? null,
        },
      });
    }
    const finalNorm = await vector("model.norm.weight");
    const head = config.tieWordEmbeddings ? embedding : await load(["lm_head.weight"], embeddingType(options.weights));
    return new Decoder(ops, options, { embedding, finalNorm, head, layers });
  }

  /**
   * The same weights over another cache format; weights are shared, activations are each decoder's own.
   * calibration: of the new format, identity by default · ops: the same backend, looked at by whoever passes it
   * @throws TurboQuantError invalid_argument — the spec names layers the model does not have
   */
  withFormat(kv: KvSpec, calibration: readonly (LayerCalibration | null)[] = [], ops: Ops = this.ops): Decoder {
    kv.validateLayers(this.config.numLayers);
    const layers = this.#layers.map((layer, index) => ({
      ...layer,
      attention: { ...layer.attention, format: kv.forLayer(index), calibration: calibration[index] ?? null },
    }));
    const weights = { embedding: this.#embedding, finalNorm: this.#finalNorm, head: this.#head, layers };
    return new Decoder(ops, { config: this.config, kv, weights: "auto" }, weights);
  }

  /** What attention needs to know of a layer; benchmarks of single operations start from it. */
  attentionLayer(layer: number): AttentionLayer {
    return this.#layers[layer]!.attention;
  }

  /** A cache in this model's format. `budgetBytes` limits the pages of all its sequences together. */
  createCache(budgetBytes?: number): KvCache {
    const shape = { numKvHeads: this.config.numKvHeads, headDim: this.config.headDim };
    return new KvCache(
      this.#layers.map(() => shape),
      (layer) => this.#layers[layer]!.attention.format,
      new PagePool(this.ops.pages, budgetBytes),
    );
  }

  /** Bytes the weights take on the backend; a tied head is counted once. */
  get weightBytes(): number {
    const all = new Set<Weight>([this.#embedding, this.#finalNorm, this.#head]);
    for (const layer of this.#layers) {
      for (const w of [
        layer.inputNorm,
        layer.qkv,
        layer.qkvBias,
        layer.output,
        layer.postNorm,
        layer.gateUp,
        layer.down,
        layer.attention.qNorm,
        layer.attention.kNorm,
      ]) {
        if (w) all.add(w);
      }
    }
    let sum = 0;
    for (const w of all) sum += w.numBytes;
    return sum;
  }

  /**
   * Runs one step whose sequences have reserved their positions.
   * returns: logits [logitRows.length][vocabSize] f32
   */
  async forward(step: Step): Promise<Float32Array> {
    const logits = this.queue(step);
    if (!logits) return new Float32Array(0);
    return this.ops.readback(logits, step.logitRows.length * this.config.vocabSize);
  }

  /**
   * Queues one step whose sequences have reserved their positions, without waiting for it.
   * returns: logits [logitRows.length][vocabSize], until the next step is queued; null when none are wanted
   */
  queue(step: Step): Buf | null {
    const { ops, config } = this;
    const rows = step.tokens.length;
    const a = this.#activationsFor(rows);
    const rope = this.#ropeFor(step);
    const eps = config.rmsNormEps;

    ops.embed(step, this.#embedding, a.hidden);
    for (const layer of this.#layers) {
      ops.rmsNorm(a.hidden, layer.inputNorm, eps, rows, a.normed);
      ops.linear(a.normed, layer.qkv, layer.qkvBias, rows, a.qkv, false);
      ops.appendKv(step, layer.attention, rope, a.qkv, a.query);
      ops.attend(step, layer.attention, a.query, a.attended);
      ops.linear(a.attended, layer.output, null, rows, a.hidden, true);
      ops.rmsNorm(a.hidden, layer.postNorm, eps, rows, a.normed);
      ops.linear(a.normed, layer.gateUp, null, rows, a.gateUp, false);
      ops.swiglu(a.gateUp, rows, config.intermediateSize, a.activated);
      ops.linear(a.activated, layer.down, null, rows, a.hidden, true);
    }
    const count = step.logitRows.length;
    if (count === 0) return null;
    const logits = this.#logitsFor(count);
    ops.gatherRows(a.hidden, step.logitRows, config.hiddenSize, a.normed);
    ops.rmsNorm(a.normed, this.#finalNorm, eps, count, a.normed);
    ops.linear(a.normed, this.#head, null, count, logits, false);
    return logits;
  }

  /**
   * Makes what steps over `cache` need ahead of the first one: the maps of a calibration, and where the backend can, kernels
   * for one token, for a few, for chunks of up to `chunkTokens` wherever they end before `contextLength`, and for these draws.
   * @throws TurboQuantError unsupported — the backend has no kernel for the cache's format
   */
  async rehearse(
    cache: KvCache,
    { chunkTokens, contextLength }: { readonly chunkTokens: number; readonly contextLength: number },
    draws: readonly Draw[],
    onKernel?: OnKernel,
  ): Promise<void> {
    const most = Math.min(chunkTokens, contextLength);
    // Tenths of a second for a large layer, which are load time rather than the first token's.
    for (const { attention } of this.#layers) kvTransforms(attention.calibration, attention.format, attention.headDim);
    // Attention is planned by rows and by keys: the most of both, and the fewest of both, have all its plans between them.
    await this.ops.rehearse?.(
      most,
      (rows) => this.#rehearseStep(cache, rows, rows === most ? contextLength - rows : 0, rows === 1 ? draws : []),
      onKernel,
    );
  }

  #rehearseStep(cache: KvCache, rows: number, start: number, draws: readonly Draw[]): void {
    const { ops, config } = this;
    const sequence = cache.createSequence();
    const rope = this.#rope;
    // Logits of several rows are wanted where sequences run side by side, which not everyone does: their kernels stay, the
    // memory does not.
    if (rows === 1) this.#freeLogits();
    const logits = this.queue({
      tokens: new Int32Array(rows),
      positions: new Int32Array(rows),
      spans: [{ sequence, start, count: rows, row: 0 }],
      logitRows: Int32Array.from({ length: Math.min(rows, REHEARSED_LOGITS) }, (_, row) => row),
    });
    for (const draw of draws) {
      const stream = ops.sampling?.createStream(draw, config.vocabSize);
      void stream?.sample(logits!, 1, [0]);
      stream?.close();
    }
    // Dynamic scaling goes by the longest position that was real.
    this.#rope = rope;
    sequence.release();
  }

  /** Frees activations. Weights live as long as the backend. */
  dispose(): void {
    this.#freeActivations();
    this.#freeLogits();
  }

  /** Dynamic NTK scaling depends on the longest position so far; every other kind is made once. */
  #ropeFor(step: Step): Rope {
    let longest = 0;
    for (const span of step.spans) longest = Math.max(longest, span.start + span.count);
    if (longest > this.#rope.upTo) this.#rope = ropeFor(this.config, longest);
    return this.#rope.rope;
  }

  #activationsFor(rows: number): Activations {
    if (this.#activations && this.#activations.rows >= rows) return this.#activations;
    this.#freeActivations();
    const widths = activationWidths(this.config);
    const alloc = (name: keyof typeof widths): Buf => this.ops.alloc(rows * widths[name]);
    this.#activations = {
      rows,
      hidden: alloc("hidden"),
      normed: alloc("normed"),
      qkv: alloc("qkv"),
      query: alloc("query"),
      attended: alloc("attended"),
      gateUp: alloc("gateUp"),
      activated: alloc("activated"),
    };
    return this.#activations;
  }

  #freeActivations(): void {
    const { rows: _, ...buffers } = this.#activations ?? { rows: 0 };
    for (const buf of Object.values(buffers)) this.ops.free(buf as Buf);
    this.#activations = null;
  }

  #freeLogits(): void {
    if (this.#logits) this.ops.free(this.#logits);
    this.#logits = null;
  }

  #logitsFor(count: number): Buf {
    const length = count * this.config.vocabSize;
    if (this.#logits && this.#logits.length >= length) return this.#logits;
    if (this.#logits) this.ops.free(this.#logits);
    this.#logits = this.ops.alloc(length);
    return this.#logits;
  }
}
