/** @file Parses the rope parameters of a config.json, in the spelling of Transformers 4 or 5. */
import type { ConfigFields } from "./config-fields.ts";
import { type RopeConfig, yarnAttentionFactor } from "./rope.ts";

/** rope_theta where a config leaves it out, the same for every supported family. */
const DEFAULT_THETA = 10_000;

const MAX_POSITION = 2 ** 30;

/**
 * Transformers 5 writes `rope_parameters` {rope_type, rope_theta, …}; Transformers 4 writes `rope_theta` beside `rope_scaling`
 * {rope_type or type, …}. In a file with both, the newer spelling counts.
 *
 * maxPosition: max_position_embeddings as in the file
 */
export function parseRopeConfig(config: ConfigFields, maxPosition: number): RopeConfig {
  const where = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const fields = config.object(where);
  const partial = fields?.has("partial_rotary_factor") ? fields : config;
  if (partial.number("partial_rotary_factor", 0, 1, 1) !== 1) {
    throw partial.unsupported(
      "partial_rotary_factor",
      "rotating only a part of each head is not supported; expected 1",
    );
  }
  const theta = fields?.has("rope_theta")
    ? fields.number("rope_theta", 1.001, 1e15)
    : config.number("rope_theta", 1.001, 1e15, DEFAULT_THETA);
  if (!fields) return { type: "default", theta };
  if (["full_attention", "sliding_attention"].some((layerType) => fields.has(layerType))) {
    throw config.unsupported(where, "different rope parameters for different layers are not supported");
  }
  const typeField = fields.has("rope_type") ? "rope_type" : "type";
  const factor = () => fields.number("factor", 1, 1e6);
  const original = () => fields.integer("original_max_position_embeddings", 1, MAX_POSITION);
  switch (fields.string(typeField, "default")) {
    case "default":
      return { type: "default", theta };
    case "linear":
      return { type: "linear", theta, factor: factor() };
    case "dynamic":
      // As in Transformers, the growth is relative to max_position_embeddings and not to a field of rope_scaling.
      return { type: "dynamic", theta, factor: factor(), originalMaxPosition: maxPosition };
    case "yarn":
      return parseYarn(fields, theta, maxPosition);
    case "divisors":
      return { type: "divisors", theta, divisors: parseDivisors(fields) };
    case "llama3": {
      const lowFreqFactor = fields.number("low_freq_factor", 1e-6, 1e6);
      const highFreqFactor = fields.number("high_freq_factor", 1e-6, 1e6);
      if (highFreqFactor <= lowFreqFactor)
        throw fields.invalid("high_freq_factor", `more than low_freq_factor (${lowFreqFactor})`);
      return {
        type: "llama3",
        theta,
        factor: factor(),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPosition: original(),
      };
    }
    default:
      throw fields.unsupported(
        typeField,
        "this rope scaling is not supported; expected default, linear, dynamic, yarn or llama3",
      );
  }
}

/** Of checkpoints that carry the divisors as a tensor. Their number is that of the pairs of a head. */
function parseDivisors(fields: ConfigFields): number[] {
  const divisors = fields.raw("divisors");
  if (Array.isArray(divisors) && divisors.every((value) => typeof value === "number" && value > 0)) return divisors;
  throw fields.invalid("divisors", "a list of positive numbers");
}

function parseYarn(fields: ConfigFields, theta: number, maxPosition: number): RopeConfig {
  const originalMaxPosition = fields.integer("original_max_position_embeddings", 1, MAX_POSITION, maxPosition);
  // Some configs give both lengths and no factor; the factor is then their ratio.
  const factor = fields.number("factor", 1, 1e6, Math.max(1, maxPosition / originalMaxPosition));
  const betaFast = fields.number("beta_fast", 1e-6, 1e6, 32);
  const betaSlow = fields.number("beta_slow", 1e-6, 1e6, 1);
  if (betaFast < betaSlow) throw fields.invalid("beta_fast", `at least beta_slow (${betaSlow})`);
  const mscale = fields.number("mscale", 0, 1e3, 0);
  const mscaleAllDim = fields.number("mscale_all_dim", 0, 1e3, 0);
  const derived =
    mscale > 0 && mscaleAllDim > 0
      ? yarnAttentionFactor(factor, mscale) / yarnAttentionFactor(factor, mscaleAllDim)
      : yarnAttentionFactor(factor);
  return {
    type: "yarn",
    theta,
    factor,
    originalMaxPosition,
    betaFast,
    betaSlow,
    attentionFactor: fields.number("attention_factor", 1e-6, 1e3, derived),
    truncate: fields.boolean("truncate", true),
  };
}

/** The context length that a model with this rope is meant for. */
export function contextLengthOf(rope: RopeConfig, maxPosition: number): number {
  switch (rope.type) {
    // For these, max_position_embeddings is the length of training, which the factor extends.
    case "linear":
    case "dynamic":
      return Math.floor(maxPosition * rope.factor);
    // Some files state the extended length in max_position_embeddings, others the length of training.
    case "yarn":
      return Math.max(maxPosition, Math.floor(rope.originalMaxPosition * rope.factor));
    default:
      return maxPosition;
  }
}
