/** @file What attention of every layer works on, of a whole text. */
import { tapAttention } from "../engine/attention-tap.ts";
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import { attentionLayersOf, layoutOf, stateShapes } from "../models/layout.ts";

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
 * Feeds `tokens` to an f32 cache and returns the vectors of every layer with keys and values of its own.
 * @throws TurboQuantError unsupported — a model with latent attention
 */
export async function captureVectors(llm: LLM, tokens: Int32Array, signal?: AbortSignal): Promise<LayerVectors[]> {
  refuseLatent(llm);
  const layers: LayerVectors[] = [];
  const whole = (rows: Float32Array, count: number): Float32Array =>
    new Float32Array((rows.length / count) * tokens.length);
  await tapAttention(llm.decoder, tokens, {
    signal,
    onRows(layer, { queries, keys, values }, first) {
      const { numKvHeads, headDim } = llm.cache.layers[layer]!.main;
      const count = keys.length / (numKvHeads * headDim);
      const own = (layers[layer] ??= {
        queries: whole(queries, count),
        keys: whole(keys, count),
        values: whole(values, count),
      });
      own.queries.set(queries, (queries.length / count) * first);
      own.keys.set(keys, (keys.length / count) * first);
      own.values.set(values, (values.length / count) * first);
    },
  });
  return layers;
}

/** @throws TurboQuantError unsupported — a model with latent attention, whose rows are those of no head, or with an indexer */
export function refuseLatent(llm: LLM): void {
  if (llm.cache.layers.length > attentionLayersOf(layoutOf(llm.config)).length) {
    throw new TurboQuantError(
      "unsupported",
      `${llm.name}: keys of an indexer lie beside those of attention, which are not told apart here; compare formats with turboquant eval, calibration=off`,
    );
  }
  const isOneRow = stateShapes(layoutOf(llm.config)).some(({ shape }) => shape.kind === "kv" && shape.isOneRow);
  if (!llm.config.latent && !isOneRow) return;
  throw new TurboQuantError(
    "unsupported",
    `${llm.name}: latent attention has no keys and values of heads to be looked at or calibrated for; compare formats with turboquant eval, calibration=off`,
  );
}
