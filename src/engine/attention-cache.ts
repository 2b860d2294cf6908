/**
 * @file The compressed cache and its attention for transformers that are not ours: keys and values of any engine go in, and what its
 * queries attend to comes out. Norms, RoPE and everything else are the engine's.
 *
 * In one forward pass over some tokens each layer appends its keys and values once, and then may ask with its queries:
 *
 *     for each layer:  sequence.append(layer, k, v);  out = await sequence.attend(layer, q);
 *
 * Numbers are arrays, or they stay in buffers of the GPU that the cache works on, in the order of the device's queue:
 *
 *     for each layer:  sequence.append(layer, keys, values);  sequence.attend(layer, queries, output);
 */
import type { AttentionLayer, Buf, Ops, Rope, Step } from "../backends/ops.ts";
import type { GpuRows, OutsideBuffers } from "../backends/outside-buffers.ts";
import type { BackendName } from "../backends/registry.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { layerCache } from "../cache/layer-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import { isPressed } from "../cache/states/tiers.ts";
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { layerKind } from "../quant/layer-kinds.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../quant/prepared-layer.ts";
import { CachedSequence, type LayerStore } from "./cached-sequence.ts";
import { checkNeeds, createBackend, type Needs } from "./create-backend.ts";
import { DEFAULT_KV } from "./load-options.ts";

export interface AttentionCacheOptions {
  readonly numLayers: number;
  /** Query heads; a multiple of `numKvHeads`, head h reads KV head ⌊h · numKvHeads / numHeads⌋. */
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Coordinates of queries and keys: a multiple of 8. */
  readonly headDim: number;
  /** Coordinates of values: a multiple of 8. Default: headDim. */
  readonly valueDim?: number;
  /** KV format without a calibration, e.g. `k4v4` or `f16`; see docs/cli.md. Default: k4v4. */
  readonly kv?: string;
  /** Name of a backend, or one that is started, which the cache disposes of. Default: `auto`. */
  readonly backend?: BackendName | "auto" | Ops;
  readonly threads?: number;
  /**
   * A GPU device of yours, whose buffers the cache then reads and writes (`append`, `attend`). It works with the features and limits that the device has,
   * and leaves it as it is; errors of yours on it are yours alone. When it is lost, so is the cache.
   */
  readonly device?: GPUDevice;
  /** Factor of q · k before the softmax. Default: 1/√headDim. */
  readonly scale?: number;
  /** Positions a token attends to, its own included, by layer; 0 for all. Default: 0. */
  readonly slidingWindow?: number | ((layer: number) => number);
  /** Limit for the pages of all sequences together. */
  readonly kvBudgetBytes?: number;
}

const OPTIONS: Readonly<Record<keyof AttentionCacheOptions, true> & Record<string, true | string>> = {
  numLayers: true,
  numHeads: true,
  numKvHeads: true,
  headDim: true,
  valueDim: true,
  kv: true,
  backend: true,
  threads: true,
  device: true,
  scale: true,
  slidingWindow: true,
  kvBudgetBytes: true,
  layers: "numLayers",
  heads: "numHeads",
  kvHeads: "numKvHeads",
  numHiddenLayers: "numLayers",
  numAttentionHeads: "numHeads",
  numKeyValueHeads: "numKvHeads",
};

/** Keys and queries come turned already: pairs with the frequency 0 stay as they are. */
const noRope = (headDim: number): Rope => ({ invFreq: new Float64Array(headDim / 2), attentionFactor: 1 });

/** A layer that stores what it is given, and the same one for queries alone. */
interface LayerPair {
  readonly storing: AttentionLayer;
  readonly asking: AttentionLayer;
}

/** A cache in one KV format, for sequences of one transformer. */
export class AttentionCache implements LayerStore {
  readonly ops: Ops;
  /** The KV format as text. */
  readonly kv: string;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly #cache: KvCache;
  readonly #layers: readonly LayerPair[];
  readonly #ropes: readonly Rope[];
  /** By what it is for; grown as needed. */
  readonly #buffers = new Map<string, Buf>();
  /** The step that was begun last. */
  #begun: Step | null = null;

  private constructor(ops: Ops, options: AttentionCacheOptions) {
    const { numLayers, numHeads, numKvHeads, headDim, valueDim = headDim, scale = 1 / Math.sqrt(headDim) } = options;
    const { slidingWindow = 0 } = options;
    const windowOf = (layer: number): number =>
      typeof slidingWindow === "number" ? slidingWindow : slidingWindow(layer);
    const shapes = Array.from({ length: numLayers }, (_, layer) => ({
      ...{ numKvHeads, headDim, valueDim },
      slidingWindow: windowOf(layer),
    }));
    const spec = parseKvSpec(options.kv ?? DEFAULT_KV).forModel(shapes.map((shape) => [layerKind(shape)]));
    this.ops = ops;
    this.kv = spec.text;
    this.numLayers = numLayers;
    this.numHeads = numHeads;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.valueDim = valueDim;
    this.#ropes = [noRope(headDim)];
    this.#cache = new KvCache(shapes, (layer) => spec.forLayer(layer), new PagePool(ops.pages, options.kvBudgetBytes));
    this.#layers = shapes.map((shape, index) => {
      const kv = new PreparedLayer(spec.forLayer(index), shape);
      const storing: AttentionLayer = {
        ...{ index, numHeads, numKvHeads, headDim, valueDim, rotaryKeyDim: 0, kv, scale },
        cache: layerCache(spec.forLayer(index), shape),
        slidingWindow: shape.slidingWindow,
        ...{ valueScale: 1, softcap: 0, sinkLogits: null, rope: 0, qNorm: null, kNorm: null, normEps: 0 },
      };
      return { storing, asking: { ...storing, isShared: true, kv: kv.beside() } };
    });
  }

  /** @throws TurboQuantError invalid_argument — sizes that do not go together; unsupported — a backend without kernels for the format */
  static async create(options: AttentionCacheOptions): Promise<AttentionCache> {
    refuseUnknownOptions("attention cache", options, OPTIONS);
    const { numLayers, numHeads, numKvHeads, headDim, valueDim = headDim, kv = DEFAULT_KV } = options;
    for (const [name, value] of Object.entries({ numLayers, numHeads, numKvHeads, headDim, valueDim })) {
      if (Number.isInteger(value) && value >= 1) continue;
      throw wrong(`${name}: expected a whole number of at least 1, got ${value}`);
    }
    if (numHeads % numKvHeads !== 0)
      throw wrong(`numHeads: expected a multiple of numKvHeads (${numKvHeads}), got ${numHeads}`);
    const spec = parseKvSpec(kv);
    if (spec.calibration !== "auto" && spec.calibration !== "off")
      throw wrong(`kv: expected a format without a calibration, which is a model's, got ${kv}`);
    if (spec.forLayer(0).tiers?.some(isPressed))
      throw wrong(
        `kv: expected a format whose tokens grow coarser with their age at most, got ${kv}; nothing makes room here`,
      );
    const { backend = "auto", threads, device } = options;
    const needs: Needs = {
      formats: Array.from({ length: numLayers }, (_, layer) => spec.forLayer(layer)),
      headDims: [Math.max(headDim, valueDim), Math.min(headDim, valueDim)],
      needs: [],
    };
    if (typeof backend === "object") {
      if (device) throw wrong("device: the backend that was handed over has one; leave one of the two out");
      checkNeeds(backend, needs);
      return new AttentionCache(backend, options);
    }
    const ops = await createBackend(backend, {
      ...needs,
      ...(threads !== undefined && { threads }),
      ...(device ? { device } : { isShared: true }),
    });
    try {
      return new AttentionCache(ops, options);
    } catch (error) {
      await ops.dispose();
      throw error;
    }
  }

  /** The GPU device whose buffers `append` and `attend` take; null where the cache is not on a GPU. */
  get device(): GPUDevice | null {
    return this.ops.outside?.device ?? null;
  }

  createSequence(): CachedSequence {
    return new CachedSequence(this, this.#cache.createSequence());
  }

  /** Bytes of all pages that any sequence uses; a shared page counts once. */
  get numBytes(): number {
    return this.#cache.numBytes;
  }

  /** The most tokens that one pass may append. */
  get maxTokens(): number {
    return this.ops.chunkTokens;
  }

  /** For `CachedSequence`, as what follows; see `LayerStore`. */
  store(layer: number, step: Step, qkv: Float32Array): void {
    const from = this.#buffer("qkv", qkv.length);
    this.ops.write(from, qkv);
    this.#store(layer, step, from);
  }

  async storeFrom(layer: number, step: Step, k: GpuRows, v: GpuRows): Promise<void> {
    const rows = step.tokens.length;
    const [queryWidth, keyWidth, valueWidth] = this.#widths;
    const stride = queryWidth + keyWidth + valueWidth;
    const qkv = this.#buffer("qkv", rows * stride);
    const parts = [
      { rows: k, name: "k", first: queryWidth, width: keyWidth },
      { rows: v, name: "v", first: queryWidth + keyWidth, width: valueWidth },
    ] as const;
    const accepted = parts.map(({ rows: from, name, first, width }) => {
      const what = `attention cache: append, ${name}`;
      // One row of keys lies in a row as it does by itself.
      if (rows === 1) return this.#outside.receive(from, qkv, first, what);
      const apart = this.#buffer(name, rows * width);
      const received = this.#outside.receive(from, apart, 0, what);
      this.ops.resizeParts(apart, { first: 0, width, stride: width }, 1, rows, qkv, { first, width, stride });
      return received;
    });
    this.#store(layer, step, qkv);
    await Promise.all(accepted);
  }

  async ask(layer: number, step: Step, q: Float32Array): Promise<Float32Array> {
    const from = this.#buffer("qkv", q.length);
    this.ops.write(from, q);
    const out = this.#ask(layer, step, from);
    return this.ops.readback(out, step.tokens.length * this.numHeads * this.valueDim);
  }

  async askInto(layer: number, step: Step, q: GpuRows, out: GpuRows): Promise<void> {
    const from = this.#buffer("qkv", step.tokens.length * this.numHeads * this.headDim);
    const received = this.#outside.receive(q, from, 0, "attention cache: attend, q");
    const sent = this.#outside.send(this.#ask(layer, step, from), out, "attention cache: attend, out");
    await Promise.all([received, sent]);
  }

  lengthOf(rows: GpuRows, isWritten: boolean, what: string): number {
    return this.#outside.lengthOf(rows, isWritten, `attention cache: ${what}`);
  }

  /** Frees the backend with everything in it. */
  async dispose(): Promise<void> {
    for (const { storing, asking } of this.#layers) for (const { kv } of [storing, asking]) kv.dispose();
    await this.ops.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  get #outside(): OutsideBuffers {
    if (this.ops.outside) return this.ops.outside;
    throw wrong(
      `the ${this.ops.name} backend has no GPU buffers; pass arrays, or create the cache with a device or the backend "webgpu"`,
    );
  }

  /** Values of a row's queries, keys and values. */
  get #widths(): readonly [number, number, number] {
    const { numHeads, numKvHeads, headDim, valueDim } = this;
    return [numHeads * headDim, numKvHeads * headDim, numKvHeads * valueDim];
  }

  #begin(step: Step): void {
    if (this.#begun === step) return;
    this.ops.beginStep(step, this.#ropes);
    this.#begun = step;
  }

  #store(layer: number, step: Step, qkv: Buf): void {
    const { storing } = this.#pair(layer);
    const query = this.#buffer("query", step.tokens.length * this.numHeads * this.headDim);
    this.#begin(step);
    this.ops.appendKv(step, storing, qkv, query);
  }

  /** returns: a buffer of the cache with what comes out */
  #ask(layer: number, step: Step, q: Buf): Buf {
    const { asking } = this.#pair(layer);
    const rows = step.tokens.length;
    const query = this.#buffer("query", rows * this.numHeads * this.headDim);
    const out = this.#buffer("out", rows * this.numHeads * this.valueDim);
    this.#begin(step);
    this.ops.appendKv(step, asking, q, query);
    this.ops.attend(step, asking, query, out);
    return out;
  }

  #pair(layer: number): LayerPair {
    const pair = this.#layers[layer];
    if (pair) return pair;
    throw wrong(`layer: expected 0 to ${this.numLayers - 1}, got ${layer}`);
  }

  #buffer(name: string, length: number): Buf {
    const known = this.#buffers.get(name);
    if (known && known.length >= length) return known;
    if (known) this.ops.free(known);
    const made = this.ops.alloc(length);
    this.#buffers.set(name, made);
    return made;
  }
}

const wrong = (message: string): TurboQuantError =>
  new TurboQuantError("invalid_argument", `attention cache: ${message}`);
