/** @file A rope other than the config's: contexts beyond what a model was trained for, with the scalings and in the words of llama.cpp. */
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import type { ConfigFields } from "./config-fields.ts";

/** Everything that is left out stays as the config has it, or becomes the usual value. */
export interface RopeOverride {
  /** `yarn` and `linear` stretch the context by `scale`; `none` takes the config's own scaling away. Default: `yarn` where `scale` is given. */
  readonly scaling?: "none" | "linear" | "yarn";
  /** Factor of the context, 1 to 1,000,000. Default: what `contextLength` asks for, over the original length. */
  readonly scale?: number;
  /** Base of the frequencies (theta), above 1. */
  readonly freqBase?: number;
  /** YaRN: the length of training, in tokens. Default: the config's. */
  readonly originalContext?: number;
  /** YaRN: factor on cos and sin. Default: 0.1 · ln(scale) + 1. */
  readonly attentionFactor?: number;
  /** YaRN: rotations within the original length, above which a pair is not scaled, and below which it is interpolated. Default: 32 and 1. */
  readonly betaFast?: number;
  readonly betaSlow?: number;
}

const NAMES: Readonly<Record<keyof RopeOverride, true>> = {
  scaling: true,
  scale: true,
  freqBase: true,
  originalContext: true,
  attentionFactor: true,
  betaFast: true,
  betaSlow: true,
};

const SCALINGS = ["none", "linear", "yarn"] as const;
const RANGES: Readonly<Record<Exclude<keyof RopeOverride, "scaling">, readonly [number, number]>> = {
  scale: [1, 1e6],
  freqBase: [1.001, 1e15],
  originalContext: [1, 2 ** 30],
  attentionFactor: [1e-6, 1e3],
  betaFast: [1e-6, 1e6],
  betaSlow: [1e-6, 1e6],
};
const YARN_ONLY = ["originalContext", "attentionFactor", "betaFast", "betaSlow"] as const;

/**
 * The config's fields with this rope in place of theirs.
 *
 * contextLength: what was asked for, from which a scale follows · usualMaxPosition: where the config does not say `max_position_embeddings`
 * @throws TurboQuantError invalid_argument — an option that is out of range or does not go with the scaling; unsupported — a model whose
 *   ropes differ by layer, which no one scaling replaces
 */
export function withRope(
  config: ConfigFields,
  rope: RopeOverride,
  contextLength: number | undefined,
  usualMaxPosition: number | undefined,
): ConfigFields {
  check(rope);
  const own = config.object("rope_parameters") ?? config.object("rope_scaling");
  if (own?.has("full_attention") || own?.has("sliding_attention") || own?.has("long_factor")) {
    throw new TurboQuantError(
      "unsupported",
      "rope: this model has ropes that no single scaling replaces (of kinds of layers, or LongRoPE); load it without",
    );
  }
  const theta = rope.freqBase ?? own?.raw("rope_theta") ?? config.raw("rope_theta");
  const base = theta === undefined ? {} : { rope_theta: theta };
  const scaling = rope.scaling ?? (rope.scale !== undefined || YARN_ONLY.some((name) => rope[name]) ? "yarn" : null);
  const partial = own?.raw("partial_rotary_factor");
  const written = (fields: object) =>
    config.changed({
      ...base,
      rope_scaling: null,
      rope_parameters: { ...fields, ...base, ...(partial !== undefined && { partial_rotary_factor: partial }) },
    });
  // Only the base is another one.
  if (scaling === null) return own ? written(fieldsOf(own)) : config.changed(base);
  if (scaling === "none") return written({ rope_type: "default" });
  const maxPosition = config.integer("max_position_embeddings", 1, 2 ** 30, usualMaxPosition);
  const known = own?.has("original_max_position_embeddings")
    ? own.integer("original_max_position_embeddings", 1, 2 ** 30)
    : maxPosition;
  const original = rope.originalContext ?? known;
  const scale = rope.scale ?? scaleFor(Math.max(contextLength ?? 0, maxPosition) / original);
  if (scaling === "linear") return written({ rope_type: "linear", factor: scale });
  return written({
    rope_type: "yarn",
    factor: scale,
    original_max_position_embeddings: original,
    ...(rope.attentionFactor !== undefined && { attention_factor: rope.attentionFactor }),
    ...(rope.betaFast !== undefined && { beta_fast: rope.betaFast }),
    ...(rope.betaSlow !== undefined && { beta_slow: rope.betaSlow }),
  });
}

/** Rounded up, so that the context that it is for is within what it gives. */
function scaleFor(ratio: number): number {
  if (ratio > 1) return Math.ceil(ratio * 1e6) / 1e6;
  throw new TurboQuantError(
    "invalid_argument",
    "rope: expected a scale, or a contextLength beyond the model's own, got neither; pass one (--rope-scale N, or -c N)",
  );
}

function fieldsOf(fields: ConfigFields): object {
  return Object.fromEntries(fields.names().map((name) => [name, fields.raw(name)]));
}

function check(rope: RopeOverride): void {
  refuseUnknownOptions("rope", rope, NAMES);
  const { scaling } = rope;
  const refuse = (text: string): never => {
    throw new TurboQuantError("invalid_argument", `rope: ${text}`, { ...rope });
  };
  if (scaling !== undefined && !SCALINGS.includes(scaling))
    refuse(`scaling: expected ${SCALINGS.join(", ")}, got ${JSON.stringify(scaling)}`);
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    const value = rope[name as keyof typeof RANGES];
    if (value === undefined || (typeof value === "number" && value >= min && value <= max)) continue;
    refuse(`${name}: expected a number from ${min} to ${max}, got ${JSON.stringify(value) ?? String(value)}`);
  }
  const other = YARN_ONLY.find((name) => rope[name] !== undefined);
  if (other && scaling !== undefined && scaling !== "yarn")
    refuse(`${other} goes with the scaling yarn, got ${scaling}`);
  if (scaling === "none" && rope.scale !== undefined) refuse("scale goes with yarn or linear, got none");
}
