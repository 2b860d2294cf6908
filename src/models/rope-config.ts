/** @file Parses the rope parameters of a config.json, in the spelling of Transformers 4 or 5. */

import type { ConfigFields } from "./config-fields.ts";
import { MAX_POSITION } from "./config-fields.ts";
import type { Family } from "./families/family.ts";
import { type RopeConfig, yarnAttentionFactor } from "./rope.ts";

/** rope_theta where a config leaves it out, in most families. */
const DEFAULT_THETA = 10_000;

const LAYER_TYPES = ["full_attention", "sliding_attention"] as const;

/** Of layers without rope. */
export const NO_ROPE: RopeConfig = { type: "none" };

/** Scalings of which each frequency is computed by itself. */
const SCALED_ALIKE: ReadonlySet<RopeConfig["type"]> = new Set(["default", "linear", "llama3"]);

interface RopeContext {
  readonly family: Pick<
    Family,
    "defaults" | "scalesFullLayersOnly" | "ropeTypeOf" | "reversesRope" | "rotaryDimField" | "hasOddRope"
  >;
  readonly headDim: number;
  /** max_position_embeddings as in the file */
  readonly maxPosition: number;
}

/** The ropes of layers that attend to everything, and of layers with a sliding window; one object where they are equal. */
export interface Ropes {
  readonly full: RopeConfig;
  readonly sliding: RopeConfig;
}

/**
 * Transformers 5 writes `rope_parameters` {rope_type, rope_theta, …}, or one such object for each type of layer; Transformers 4
 * writes `rope_theta` beside `rope_scaling` {rope_type or type, …}. In a file with both, the newer spelling counts.
 */
export function parseRopes(config: ConfigFields, context: RopeContext): Ropes {
  const fields = ropeFields(config, context.family.defaults.rope);
  if (fields && LAYER_TYPES.some((type) => fields.has(type))) {
    const [full, sliding] = LAYER_TYPES.map((type) => parseRope(config, fields.object(type), context));
    return { full: full!, sliding: isSame(full!, sliding!) ? full! : sliding! };
  }
  const full = parseRope(config, fields, context);
  const { slidingTheta } = context.family.defaults;
  if (slidingTheta !== undefined) {
    const theta = config.number("rope_local_base_freq", 1.001, 1e15, slidingTheta);
    return { full, sliding: { type: "default", theta } };
  }
  const isPlain = !context.family.scalesFullLayersOnly || full.type === "default" || full.type === "none";
  return { full, sliding: isPlain ? full : { type: "default", theta: full.theta } };
}

/** fallback: the family's `defaults.rope` */
export function ropeFields(config: ConfigFields, fallback?: Family["defaults"]["rope"]): ConfigFields | undefined {
  return config.object(
    config.has("rope_scaling") && !config.has("rope_parameters") ? "rope_scaling" : "rope_parameters",
    fallback,
  );
}

const isSame = (a: RopeConfig, b: RopeConfig): boolean => JSON.stringify(a) === JSON.stringify(b);

/** fields: of the scaling, where the config has one */
function parseRope(config: ConfigFields, fields: ConfigFields | undefined, context: RopeContext): RopeConfig {
  const { defaults } = context.family;
  const partial = [fields, config].find((own) => own?.has("partial_rotary_factor")) ?? config;
  const factor = partial.number(
    "partial_rotary_factor",
    0,
    1,
    partialOf(config, context) ?? defaults.partialRotaryFactor ?? 1,
  );
  if (fields && typeOf(fields) === "proportional") {
    const theta = thetaOf(config, fields, context);
    return { type: "proportional", theta, fraction: factor, factor: fields.number("factor", 1, 1e6, 1) };
  }
  if (!fields && defaults.proportionalRope !== undefined) {
    return {
      type: "proportional",
      theta: thetaOf(config, fields, context),
      fraction: defaults.proportionalRope,
      factor: 1,
    };
  }
  // Other families have the field in files, of a base class of theirs, and turn whole heads all the same, as in Transformers.
  const hasParts = defaults.partialRotaryFactor !== undefined || context.family.rotaryDimField !== undefined;
  const turned = hasParts ? Math.floor(context.headDim * factor) : context.headDim;
  const isOdd = turned % 2 !== 0;
  const rotaryDim = isOdd && context.family.hasOddRope ? turned + 1 : turned;
  const theta = thetaOf(config, fields, context);
  const rope = fields ? parseScaling(config, fields, theta, rotaryDim, context) : ({ type: "default", theta } as const);
  // Other scalings count pairs, of which an odd number of coordinates has no whole number.
  if (rotaryDim % 2 !== 0 || (isOdd && !SCALED_ALIKE.has(rope.type)))
    throw partial.invalid("partial_rotary_factor", "a factor that leaves pairs of coordinates");
  return {
    ...rope,
    ...(rotaryDim !== context.headDim && { rotaryDim }),
    ...(isOdd && { exponentDim: turned }),
    ...(context.family.reversesRope && { isReversed: true }),
  };
}

/** The field that names the scaling: its newer name, or the older one. */
const typeField = (fields: ConfigFields): string => (fields.has("rope_type") ? "rope_type" : "type");
const typeOf = (fields: ConfigFields): string => fields.string(typeField(fields), "default");

function thetaOf(config: ConfigFields, fields: ConfigFields | undefined, { family }: RopeContext): number {
  if (fields?.has("rope_theta")) return fields.number("rope_theta", 1.001, 1e15);
  return config.number("rope_theta", 1.001, 1e15, baseOf(config) ?? family.defaults.theta ?? DEFAULT_THETA);
}

/** Other fields for the part of a head that is turned: that of GPT-NeoX, or one that says how many coordinates. */
function partialOf(config: ConfigFields, { family, headDim }: RopeContext): number | undefined {
  if (config.has("rotary_pct")) return config.number("rotary_pct", 0, 1);
  const field = family.rotaryDimField;
  return field && config.has(field) ? config.integer(field, 0, headDim) / headDim : undefined;
}
/** The name that GPT-NeoX has for it. */
const baseOf = (config: ConfigFields): number | undefined =>
  config.has("rotary_emb_base") ? config.number("rotary_emb_base", 1.001, 1e15) : undefined;

function parseScaling(
  config: ConfigFields,
  fields: ConfigFields,
  theta: number,
  rotaryDim: number,
  { family, maxPosition }: RopeContext,
): RopeConfig {
  const factor = () => fields.number("factor", 1, 1e6);
  const original = () => fields.integer("original_max_position_embeddings", 1, MAX_POSITION);
  const type = typeOf(fields);
  switch (family.ropeTypeOf?.(type) ?? type) {
    case "default":
      return { type: "default", theta };
    case "linear":
      return { type: "linear", theta, factor: factor() };
    case "dynamic":
      // A theta that is larger at any length, in files of Hunyuan.
      if (fields.has("alpha")) return { type: "ntk", theta, alpha: fields.number("alpha", 1e-6, 1e12) };
      // As in Transformers, the growth is relative to max_position_embeddings and not to a field of rope_scaling.
      return { type: "dynamic", theta, factor: factor(), originalMaxPosition: maxPosition };
    case "longrope":
      return parseLongRope(config, fields, theta, rotaryDim, maxPosition);
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
        typeField(fields),
        "this rope scaling is not supported; expected default, linear, dynamic, yarn, longrope, proportional or llama3",
      );
  }
}

/** Of checkpoints that carry the divisors as a tensor. Their number is that of the pairs of a head. */
const parseDivisors = (fields: ConfigFields): number[] => parsePositive(fields, "divisors");

function parsePositive(fields: ConfigFields, name: string): number[] {
  const values = fields.raw(name);
  if (Array.isArray(values) && values.every((value) => typeof value === "number" && value > 0)) return values;
  throw fields.invalid(name, "a list of positive numbers");
}

/** Phi writes the length of training beside the scaling and not in it, and derives the factor from it. */
function parseLongRope(
  config: ConfigFields,
  fields: ConfigFields,
  theta: number,
  rotaryDim: number,
  maxPosition: number,
): RopeConfig {
  const own = fields.has("original_max_position_embeddings") ? fields : config;
  const originalMaxPosition = own.integer("original_max_position_embeddings", 1, MAX_POSITION, maxPosition);
  const factor = fields.number("factor", 1e-6, 1e6, maxPosition / originalMaxPosition);
  const derived = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPosition));
  const list = (name: string): number[] => {
    const values = parsePositive(fields, name);
    if (values.length !== rotaryDim / 2) throw fields.invalid(name, `a list of ${rotaryDim / 2}, one a pair`);
    return values;
  };
  return {
    type: "longrope",
    theta,
    shortFactor: list("short_factor"),
    longFactor: list("long_factor"),
    originalMaxPosition,
    // Phi 3.5 MoE says the factors itself.
    attentionFactor: fields.number("short_mscale", 1e-6, 1e3, fields.number("attention_factor", 1e-6, 1e3, derived)),
    ...(fields.has("long_mscale") && { longAttentionFactor: fields.number("long_mscale", 1e-6, 1e3) }),
  };
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
