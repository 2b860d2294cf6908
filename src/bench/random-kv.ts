/** @file Fills caches with random keys and values through the backend's own append, without running a model. */

import type { AttentionLayer, Buf, Ops, Step, Weight } from "../backends/ops.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { layerCache } from "../cache/layer-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import type { Sequence } from "../cache/sequence.ts";
import { CounterRng } from "../math/rng.ts";
import type { ModelConfig } from "../models/config.ts";
import { ropeFor } from "../models/rope.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../quant/prepared-layer.ts";

/** Rows appended in one step. */
export const FILL_ROWS = 256;
/** Stream of the counter-based RNG. */
const STREAM_KV = 0xf111;

/** Attention of one layer without QK-norm; its cost does not depend on weights. */
export function plainAttentionLayer(config: ModelConfig, kv: KvSpec, index: number): AttentionLayer {
  return {
    index,
    numHeads: config.numHeads,
    numKvHeads: config.numKvHeads,
    headDim: config.headDim,
    valueDim: config.headDim,
    rotaryKeyDim: 0,
    cache: layerCache(kv.forLayer(index), { ...config, slidingWindow: config.slidingWindow(index) }),
    kv: new PreparedLayer(kv.forLayer(index), config),
    slidingWindow: config.slidingWindow(index),
    scale: config.traits.attentionScale ?? 1 / Math.sqrt(config.headDim),
    rope: 0,
    valueScale: 1,
    softcap: config.traits.attentionSoftcap,
    sinkLogits: null,
    qNorm: null,
    kNorm: null,
    normEps: config.normEps,
  };
}

/** A step over positions [start, start + count) of one sequence. Its token ids select rows of a random table. */
export function fillStep(sequence: Sequence, start: number, count: number): Step {
  return {
    tokens: Int32Array.from({ length: count }, (_, i) => (start + i) % FILL_ROWS),
    positions: Int32Array.from({ length: count }, (_, i) => start + i),
    spans: [{ sequence, start, count, row: 0 }],
    logitRows: new Int32Array(0),
  };
}

/** Random q, k and v of one shape, held by a backend. */
export class RandomKv {
  readonly query: Buf;
  readonly attended: Buf;
  readonly ops: Ops;
  readonly #config: ModelConfig;
  readonly #table: Weight;
  readonly #qkv: Buf;

  /** rows: the most of a step · more: rows q | k | v of the table behind the random ones, for tokens from FILL_ROWS on */
  constructor(ops: Ops, config: ModelConfig, rows: number = FILL_ROWS, more: readonly Float32Array[] = []) {
    this.ops = ops;
    this.#config = config;
    const width = (config.numHeads + 2 * config.numKvHeads) * config.headDim;
    const rng = new CounterRng(1, STREAM_KV);
    const tableRows = FILL_ROWS + more.length;
    const data = new Float32Array(tableRows * width);
    for (let i = 0; i < FILL_ROWS * width; i++) data[i] = rng.gaussian(i);
    for (const [i, row] of more.entries()) data.set(row, (FILL_ROWS + i) * width);
    const part = { dtype: "f32", rows: tableRows, cols: width, data: new Uint8Array(data.buffer) } as const;
    this.#table = ops.loadWeight([part], "f32");
    this.#qkv = ops.alloc(rows * width);
    this.query = ops.alloc(rows * config.numHeads * config.headDim);
    this.attended = ops.alloc(rows * config.numHeads * config.headDim);
  }

  dispose(): void {
    for (const buf of [this.#qkv, this.query, this.attended]) this.ops.free(buf);
    this.ops.freeWeight(this.#table);
  }

  createCache(kv: KvSpec, numLayers: number): KvCache {
    const { numKvHeads, headDim } = this.#config;
    const shapes = Array.from({ length: numLayers }, () => ({ numKvHeads, headDim }));
    return new KvCache(shapes, (layer) => kv.forLayer(layer), new PagePool(this.ops.pages));
  }

  /** Writes K and V of reserved positions, and leaves the queries of the rows in `query`. */
  append(step: Step, layer: AttentionLayer): void {
    const last = step.positions.at(-1) ?? 0;
    this.ops.beginStep(step, [ropeFor(this.#config, last + 1).rope]);
    this.ops.embed(step, this.#table, this.#qkv);
    this.ops.appendKv(step, layer, this.#qkv, this.query);
  }

  /** Appends `count` tokens to every layer and commits them. */
  fill(sequence: Sequence, layers: readonly AttentionLayer[], count: number): void {
    sequence.reserve(count);
    const step = fillStep(sequence, sequence.length, count);
    for (const layer of layers) this.append(step, layer);
    sequence.commit(count);
  }
}
