/** @file The fields of a config.json that multi-head latent attention has. */
import { MAX_HEAD_DIM, storedDim } from "../quant/head-dim.ts";
import type { ConfigFields } from "./config-fields.ts";
import type { LatentDefaults, LatentShape } from "./model-config.ts";
import { yarnAttentionFactor } from "./rope.ts";

const MAX_RANK = 2 ** 16;

/**
 * `split_kv_b_proj` is no field of published configs: GGUF files have the two halves of `kv_b_proj` apart.
 * @throws TurboQuantError invalid_file, or unsupported for widths without kernels
 */
export function parseLatent(config: ConfigFields, defaults: LatentDefaults): LatentShape {
  const kvRank = config.integer("kv_lora_rank", 2, MAX_RANK, defaults.kvRank);
  const ropeDim = config.integer("qk_rope_head_dim", 2, MAX_RANK, defaults.ropeDim);
  if (ropeDim % 2 !== 0) throw config.invalid("qk_rope_head_dim", "an even number, as rope turns pairs of coordinates");
  if (storedDim(kvRank) + storedDim(ropeDim) > MAX_HEAD_DIM) {
    throw config.unsupported("kv_lora_rank", `expected at most ${MAX_HEAD_DIM} with qk_rope_head_dim (${ropeDim})`);
  }
  const isSplit = config.boolean("split_kv_b_proj", false);
  const nopeDim = config.integer("qk_nope_head_dim", 1, MAX_RANK, defaults.nopeDim);
  const heads = () => config.integer("hidden_size", 1, 2 ** 20) / config.integer("num_attention_heads", 1, MAX_RANK);
  return {
    kvRank,
    queryRank: queryRankOf(config, defaults.queryRank),
    nopeDim,
    ropeDim,
    valueDim: config.integer("v_head_dim", 1, MAX_RANK, defaults.valueDim ?? heads()),
    isInterleaved: defaults.interleave === "asked" ? config.boolean("rope_interleave", true) : defaults.interleave,
    hasBias: config.boolean("attention_bias", false),
    isSplit,
    scale: scalingOf(config) ** 2 / Math.sqrt(nopeDim + ropeDim),
  };
}

/** An explicit null means that queries have no latent. */
function queryRankOf(config: ConfigFields, fallback: number | null): number | null {
  if (!config.has("q_lora_rank") && (fallback === null || config.mentions("q_lora_rank"))) return null;
  return config.integer("q_lora_rank", 1, MAX_RANK, fallback ?? undefined);
}

/** YaRN's factor for queries and for keys, which goes into the scale where `mscale_all_dim` is set. */
function scalingOf(config: ConfigFields): number {
  const rope = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!rope || rope.string(rope.has("rope_type") ? "rope_type" : "type", "default") === "default") return 1;
  const mscale = rope.number("mscale_all_dim", 0, 1e3, 0);
  return mscale === 0 ? 1 : yarnAttentionFactor(rope.number("factor", 1, 1e6), mscale);
}
