/**
 * @file Captures what attention works on, on any backend: the queries
 * of each layer as they are made, and keys and values from the pages.
 */
import type { AttentionLayer, Ops, Step } from "../backends/ops.ts";
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import { dimOf } from "../quant/page-regions.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { RowCodec } from "../quant/row-codec.ts";
import { type Contender, makeContender } from "./compare.ts";

/** Vectors of one layer after RoPE, as an exact cache has them. */
export interface LayerVectors {
  /** [tokens][numHeads·headDim], multiplied by the softmax scale. */
  readonly queries: Float32Array;
  /** [tokens][numKvHeads·headDim] */
  readonly keys: Float32Array;
  /** [tokens][numKvHeads·valueDim] */
  readonly values: Float32Array;
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
 * Feeds `tokens` to an f32 cache and returns the vectors of every layer. An f32 cache stores vectors as they are, so they are
 * neither rotated nor calibrated.
 * @throws TurboQuantError unsupported — a model with latent attention
 */
export async function captureVectors(llm: LLM, tokens: Int32Array, signal?: AbortSignal): Promise<LayerVectors[]> {
  if (llm.config.latent) {
    throw new TurboQuantError(
      "unsupported",
      `${llm.name}: latent attention has no keys and values of heads to be looked at or calibrated for; compare formats with turboquant eval, calibration=off`,
    );
  }
  const queries: Float32Array[] = [];
  const copies: Promise<void>[] = [];
  const tap = (ops: Ops): Ops =>
    tapQueries(ops, ({ index, numHeads, headDim, isShared }, step, copy) => {
      // Codes are those of the layer that has them, and its own queries stand for all that read them.
      if (isShared) return;
      const width = numHeads * headDim;
      queries[index] ??= new Float32Array(tokens.length * width);
      const [own, start] = [queries[index], step.positions[0]! * width];
      copies.push(copy.then((rows) => own.set(rows, start)));
    });
  const decoder = llm.decoder.withFormat(parseKvSpec("f32"), [], tap);
  try {
    const contender = { ...makeContender(decoder, tokens.length), cache: decoder.createCache(undefined, true) };
    const sequence = contender.cache.createSequence();
    try {
      await contender.runner.prefill(sequence, tokens, { logits: "none", signal });
      await Promise.all(copies);
      const layers: LayerVectors[] = [];
      for (const [layer, own] of queries.entries()) {
        const read = (side: "k" | "v") => readFloats(contender, sequence, layer, side);
        layers.push({ queries: own, keys: await read("k"), values: await read("v") });
      }
      return layers;
    } finally {
      sequence.release();
    }
  } finally {
    decoder.dispose();
  }
}

/** Reads one side of a layer from the pages of a float cache: [tokens][numKvHeads·d], d coordinates of that side */
async function readFloats(
  { cache }: Contender,
  sequence: ReturnType<Contender["cache"]["createSequence"]>,
  layer: number,
  side: "k" | "v",
): Promise<Float32Array> {
  const { main, format } = cache.layers[layer]!;
  const { numKvHeads, pageTokens } = main;
  const d = dimOf(main, side);
  const { pool, main: pages } = sequence.kv(layer);
  const codec = new RowCodec(format[side], format, d);
  const out = new Float32Array(sequence.length * numKvHeads * d);
  for (let start = 0; start < sequence.length; start += pageTokens) {
    const page = await pool.storage.read(pages.get(start / pageTokens), main.numBytes);
    for (let row = 0; row < Math.min(pageTokens, sequence.length - start); row++) {
      for (let head = 0; head < numKvHeads; head++) {
        const at = ((start + row) * numKvHeads + head) * d;
        codec.read(page, main, side, head, row, out.subarray(at, at + d));
      }
    }
  }
  return out;
}
