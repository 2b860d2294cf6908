/**
 * @file Shows what attention works on, on any backend: the queries of each layer as they are made, and keys and values from the
 * pages of an exact cache.
 */
import type { AttentionLayer, Ops, Step } from "../backends/ops.ts";
import type { KvCache } from "../cache/kv-cache.ts";
import type { Sequence } from "../cache/sequence.ts";
import type { Decoder } from "../models/decoder.ts";
import type { LayerRows } from "../quant/layer-moments.ts";
import { dimOf } from "../quant/page-regions.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { RowCodec } from "../quant/row-codec.ts";
import { Runner } from "./runner.ts";
import { yieldNow } from "./yield-now.ts";

export interface TapOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Rows of consecutive tokens of one layer after RoPE, queries multiplied by the softmax scale.
   *
   * layer: among those with keys and values of their own · first: position of the first row
   */
  onRows(layer: number, rows: LayerRows, first: number): void;
  /** Called after each step with the number of tokens so far; nothing more is read when it returns false. */
  onTokens?(done: number): boolean;
}

/**
 * Wraps `ops` so that every layer's queries, [rows][numHeads·headDim] as `attend` gets them, are also passed on. They are
 * copied in the order of the calls, so later steps do not change them.
 */
function tapQueries(
  ops: Ops,
  onQueries: (layer: AttentionLayer, step: Step, queries: Promise<Float32Array>) => void,
): Ops {
  const appendKv: Ops["appendKv"] = (step, layer, qkv, q) => {
    ops.appendKv(step, layer, qkv, q);
    onQueries(layer, step, ops.readback(q, step.tokens.length * layer.numHeads * layer.headDim));
  };
  return new Proxy(ops, {
    get(target, key) {
      if (key === "appendKv") return appendKv;
      // Private fields need the backend itself as `this`, not this proxy.
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/**
 * Feeds `tokens` to an f32 cache and shows the vectors of every layer, step by step. An f32 cache stores vectors as they are, so they
 * are neither rotated nor calibrated.
 */
export async function tapAttention(
  decoder: Decoder,
  tokens: Int32Array,
  { signal, onRows, onTokens }: TapOptions,
): Promise<void> {
  let pending = new Map<number, Promise<Float32Array>>();
  const exact = decoder.withFormat(parseKvSpec("f32"), [], (ops) =>
    tapQueries(ops, ({ index, isShared }, _, queries) => {
      // Codes are those of the layer that has them, and its own queries stand for all that read them.
      if (!isShared) pending.set(index, queries);
    }),
  );
  try {
    const runner = new Runner(exact, { contextLength: tokens.length });
    const cache = exact.createCache(undefined, true);
    const sequence = cache.createSequence();
    try {
      for (let first = 0; first < tokens.length; first += runner.chunkTokens) {
        signal?.throwIfAborted();
        pending = new Map();
        const chunk = tokens.subarray(first, first + runner.chunkTokens);
        await runner.step([{ sequence, tokens: chunk, logits: "none", knownLength: tokens.length }]);
        const tapped = await Promise.all([...pending].map(async ([layer, rows]) => [layer, await rows] as const));
        for (const [layer, queries] of tapped) {
          const read = (side: "k" | "v") => readFloats(cache, sequence, layer, side, first);
          onRows(layer, { queries, keys: await read("k"), values: await read("v") }, first);
        }
        if (onTokens?.(first + chunk.length) === false) return;
        await yieldNow();
      }
    } finally {
      sequence.release();
    }
  } finally {
    exact.dispose();
  }
}

/** Reads one side of a layer from the pages of a float cache, from a position on: [tokens][numKvHeads·d], d coordinates of that side */
async function readFloats(
  cache: KvCache,
  sequence: Sequence,
  layer: number,
  side: "k" | "v",
  first: number,
): Promise<Float32Array> {
  const { main, format } = cache.layers[layer]!;
  const { numKvHeads, pageTokens } = main;
  const d = dimOf(main, side);
  const { pool, main: pages } = sequence.kv(layer);
  const codec = new RowCodec(format[side], format, d);
  const out = new Float32Array((sequence.length - first) * numKvHeads * d);
  for (let at = first; at < sequence.length; ) {
    const index = Math.floor(at / pageTokens);
    const page = await pool.storage.read(pages.get(index), main.numBytes);
    for (const end = Math.min((index + 1) * pageTokens, sequence.length); at < end; at++) {
      for (let head = 0; head < numKvHeads; head++) {
        const to = ((at - first) * numKvHeads + head) * d;
        codec.read(page, main, side, head, at % pageTokens, out.subarray(to, to + d));
      }
    }
  }
  return out;
}
