/** @file The forward pass of a decoder-only transformer, written once against `Ops`: embedding, stages of layers, head. */
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

/** Most rows of logits of a warm-up step. */
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
   * The same weights over another cache format; weights are shared, activations are each decoder's own.
   * calibration: of the new format, identity by default · ops: the same backend, looked at by whoever passes it
   * @throws TurboQuantError invalid_argument — the spec names layers the model does not have
   */
  withFormat(kv: KvSpec, calibration: readonly (LayerCalibration | null)[] = [], ops: Ops = this.ops): Decoder {
    kv.validateLayers(this.config.numLayers);
    return new Decoder(ops, { config: this.config, layout: this.#layout, weights: this.#weights, kv, calibration });
  }

  /** What attention needs to know of a layer; benchmarks of single operations start from it. */
  attentionLayer(layer: number): AttentionLayer {
    return this.#stage.attentionLayers[layer]!;
  }

  /**
   * A cache in this model's format. `budgetBytes` limits the pages of all its sequences together. keepsEveryToken: also of
   * layers with a sliding window, for those who look at the cache from outside
   */
  createCache(budgetBytes?: number, keepsEveryToken = false): KvCache {
    const states = stateShapes(this.#layout);
    return new KvCache(
      states.map(({ shape }) => (keepsEveryToken && shape.kind === "kv" ? { ...shape, slidingWindow: 0 } : shape)),
      (index) => this.kv.forLayer(states[index]!.layer),
      new PagePool(this.ops.pages, budgetBytes),
    );
  }

  /** Bytes the weights take on the backend; a tied head is counted once. */
  get weightBytes(): number {
    return this.#weights.numBytes;
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
   * Makes what steps over `cache` need ahead of the first one: the maps of a calibration, and where the backend can, kernels
   * for one token, for a few, for chunks of up to `chunkTokens` wherever they end before `contextLength`, and for these draws.
   * @throws TurboQuantError unsupported — the backend has no kernel for the cache's format
   */
  async warmUp(
    cache: KvCache,
    { chunkTokens, contextLength }: { readonly chunkTokens: number; readonly contextLength: number },
    draws: readonly Draw[],
    onKernel?: OnKernel,
  ): Promise<void> {
    const most = Math.min(chunkTokens, contextLength);
    // Tenths of a second for a large layer, which are load time rather than the first token's.
    for (const { kv } of this.#stage.attentionLayers) void kv.transforms;
    // Attention is planned by rows and by keys: the most of both, and the fewest of both, have all its plans between them.
    await this.ops.warmUp?.(
      most,
      (rows) => this.#warmUpStep(cache, rows, rows === most ? contextLength - rows : 0, rows === 1 ? draws : []),
      onKernel,
    );
  }

  #warmUpStep(cache: KvCache, rows: number, start: number, draws: readonly Draw[]): void {
    const { ops, config } = this;
    const sequence = cache.createSequence();
    // Logits of several rows are wanted where sequences run side by side, which not everyone does: their kernels stay, the
    // memory does not.
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

  /** Frees activations and what was made of the calibration; no step may follow. Weights live as long as the backend. */
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
