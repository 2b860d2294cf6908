/** @file The forward pass of a decoder-only transformer, written once against `Ops`: embedding, stages of layers, output head. */
import type { AttentionLayer, Buf, Draw, OnKernel, Ops, Step } from "../backends/ops.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import { bufferWidths, layoutOf, type ModelLayout, stateShapes } from "./layout.ts";
import { type LoadedWeights, loadWeights, type WeightOptions } from "./load-weights.ts";
import type { ModelConfig } from "./model-config.ts";
import { Stage } from "./stage.ts";

export interface DecoderOptions extends WeightOptions {
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly calibration?: readonly (LayerCalibration | null)[];
}

/** The largest number of rows of logits in a warm-up step. */
const WARM_UP_LOGITS = 8;

interface DecoderParts {
  readonly config: ModelConfig;
  readonly layout: ModelLayout;
  readonly weights: LoadedWeights;
  readonly kv: KvSpec;
  readonly calibration: readonly (LayerCalibration | null)[];
}

export class Decoder {
  readonly ops: Ops;
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly #layout: ModelLayout;
  readonly #weights: LoadedWeights;
  readonly #stage: Stage;
  #logits: Buf | null = null;

  private constructor(ops: Ops, { config, layout, weights, kv, calibration }: DecoderParts) {
    this.ops = ops;
    this.config = config;
    this.kv = kv;
    this.#layout = layout;
    this.#weights = weights;
    this.#stage = new Stage(ops, {
      layers: weights.layers,
      kv,
      calibration,
      normEps: config.rmsNormEps,
      widths: bufferWidths(layout, config.hiddenSize),
    });
  }

  static async load(ops: Ops, checkpoint: Checkpoint, options: DecoderOptions): Promise<Decoder> {
    const { config, kv, calibration = [] } = options;
    kv.validateLayers(config.numLayers);
    const layout = layoutOf(config);
    const weights = await loadWeights(ops, checkpoint, layout, options);
    return new Decoder(ops, { config, layout, weights, kv, calibration });
  }

  /**
   * A decoder of the same weights with another cache format. Weights are shared; each decoder has its own activations.
   *
   * calibration: for the new format, none by default · ops: the same backend, perhaps wrapped by the caller
   * @throws TurboQuantError invalid_argument — the spec names layers the model does not have
   */
  withFormat(kv: KvSpec, calibration: readonly (LayerCalibration | null)[] = [], ops: Ops = this.ops): Decoder {
    kv.validateLayers(this.config.numLayers);
    return new Decoder(ops, { config: this.config, layout: this.#layout, weights: this.#weights, kv, calibration });
  }

  /** Parameters of a layer's attention, for benchmarks of single operations. */
  attentionLayer(layer: number): AttentionLayer {
    return this.#stage.attentionLayers[layer]!;
  }

  /**
   * A cache in this model's format.
   *
   * budgetBytes: limit for the pages of all its sequences together · keepsEveryToken: keep pages beyond a sliding window too,
   * for callers that inspect the cache
   */
  createCache(budgetBytes?: number, keepsEveryToken = false): KvCache {
    const states = stateShapes(this.#layout);
    return new KvCache(
      states.map(({ shape }) => (keepsEveryToken && shape.kind === "kv" ? { ...shape, slidingWindow: 0 } : shape)),
      (index) => this.kv.forLayer(states[index]!.layer),
      new PagePool(this.ops.pages, budgetBytes),
    );
  }

  /** Bytes the weights take on the backend; a tied head counts once. */
  get weightBytes(): number {
    return this.#weights.numBytes;
  }

  /**
   * Runs one step, whose positions the sequences have reserved.
   * returns: logits [logitRows.length][vocabSize] f32
   */
  async forward(step: Step): Promise<Float32Array> {
    const logits = this.queue(step);
    if (!logits) return new Float32Array(0);
    return this.ops.readback(logits, step.logitRows.length * this.config.vocabSize);
  }

  /**
   * Queues one step, whose positions the sequences have reserved, and does not wait for it.
   * returns: logits [logitRows.length][vocabSize], valid until the next step is queued; null without logit rows
   */
  queue(step: Step): Buf | null {
    const { ops, config } = this;
    const stage = this.#stage;
    const { embedding, finalNorm, head } = this.#weights;
    stage.begin(step);
    const [hidden, normed] = [stage.buffer("hidden"), stage.buffer("normed")];
    ops.embed(step, embedding, hidden);
    stage.run(step, hidden);
    const count = step.logitRows.length;
    if (count === 0) return null;
    const logits = this.#logitsFor(count);
    ops.gatherRows(step, hidden, config.hiddenSize, normed);
    ops.rmsNorm(normed, finalNorm, config.rmsNormEps, count, normed);
    ops.linear(normed, head, null, count, logits, false);
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
    for (const { kv } of this.#stage.attentionLayers) void kv.transforms;
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
    this.#stage.withoutAdvancingRopes(() => {
      logits = this.queue({
        tokens: new Int32Array(rows),
        positions: new Int32Array(rows),
        spans: [{ sequence, start, count: rows, row: 0 }],
        logitRows: Int32Array.from({ length: Math.min(rows, WARM_UP_LOGITS) }, (_, row) => row),
      });
    });
    for (const draw of draws) {
      const stream = ops.sampling?.createStream(draw, config.vocabSize);
      void stream?.sample(logits!, 1, [0]);
      stream?.close();
    }
    sequence.release();
  }

  /** Frees activations and what was made from the calibration; no step may follow. Weights live as long as the backend. */
  dispose(): void {
    this.#stage.dispose();
    this.#freeLogits();
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
