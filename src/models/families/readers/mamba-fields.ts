/** @file The fields of a config that describe Mamba-2 layers, under the names that families have for them. */
import { MAX_KERNEL } from "../../../backends/state-ops.ts";
import { requireSilu } from "../../activation-names.ts";
import { NO_FACTORS, type StateSpaceShape } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { MixerContext } from "../family.ts";

/** Names of the fields, and values where a config leaves them out. */
export interface MambaFields {
  readonly heads: readonly [name: string, fallback: number];
  /** Of the head's width, which may be "auto". */
  readonly headDim: readonly [name: string, fallback: number | "auto"];
  readonly groups: readonly [name: string, fallback: number];
  readonly stateSize: readonly [name: string, fallback: number];
  readonly kernel: string;
  readonly convolutionBias: string;
  readonly projectionBias: string;
  /** Of the convolution's activation. */
  readonly activation: string;
}

/** As Bamba and the families that took them over have them. */
export const BAMBA_FIELDS: MambaFields = {
  heads: ["mamba_n_heads", 128],
  headDim: ["mamba_d_head", "auto"],
  groups: ["mamba_n_groups", 1],
  stateSize: ["mamba_d_state", 256],
  kernel: "mamba_d_conv",
  convolutionBias: "mamba_conv_bias",
  projectionBias: "mamba_proj_bias",
  activation: "hidden_act",
};

const MAX_HEADS = 2 ** 16;
const MAX_STATES = 2 ** 12;

/**
 * The shape of a family's Mamba-2 layers, with biases of both projections or none and the gate before the norm.
 *
 * inner: heads times their width, where a config says it
 * @throws TurboQuantError invalid_file — a field that is wrong; unsupported — an activation that is not there
 */
export function parseStateSpace(
  config: ConfigFields,
  { hiddenSize, normEps }: MixerContext,
  fields: MambaFields,
  inner?: number,
): StateSpaceShape {
  const number = ([name, fallback]: readonly [string, number], most: number): number =>
    config.integer(name, 1, most, fallback);
  const numHeads = number(fields.heads, MAX_HEADS);
  const numGroups = number(fields.groups, numHeads);
  if (numHeads % numGroups !== 0)
    throw config.invalid(fields.groups[0], `a divisor of ${fields.heads[0]} (${numHeads})`);
  requireSilu(config, fields.activation, "Mamba-2 layers");
  const isBiased = config.boolean(fields.projectionBias, false);
  return {
    hiddenSize,
    numHeads,
    headDim: parseHeadDim(config, fields, numHeads, inner),
    numGroups,
    stateSize: number(fields.stateSize, MAX_STATES),
    kernel: config.integer(fields.kernel, 2, MAX_KERNEL, 4),
    biases: { input: isBiased, convolution: config.boolean(fields.convolutionBias, true), output: isBiased },
    ...parseStepLimits(config),
    norm: "behindGate",
    normEps,
    factors: NO_FACTORS,
  };
}

function parseHeadDim(config: ConfigFields, fields: MambaFields, numHeads: number, inner?: number): number {
  const [name, fallback] = fields.headDim;
  const isAuto = (config.raw(name) ?? fallback) === "auto";
  const expected = inner === undefined ? undefined : inner / numHeads;
  if (expected !== undefined && !Number.isInteger(expected))
    throw config.invalid(fields.heads[0], `a divisor of the ${inner} channels of a Mamba-2 layer`);
  if (isAuto && expected !== undefined) return expected;
  const headDim = config.integer(name, 1, MAX_HEADS, fallback === "auto" ? undefined : fallback);
  if (expected !== undefined && headDim !== expected)
    throw config.invalid(name, `${expected}, so that ${numHeads} heads have ${inner} channels`);
  return headDim;
}

/** Channels of a Mamba-2 layer by the factor that a config expands the hidden size with. */
export const expanded = (config: ConfigFields, hiddenSize: number, field: string): number =>
  config.integer(field, 1, 64, 2) * hiddenSize;

/** `time_step_limit`; Infinity, which JSON does not have, is also written in words. */
function parseStepLimits(config: ConfigFields): Pick<StateSpaceShape, "minStep" | "maxStep"> {
  const limits = config.raw("time_step_limit") ?? [0, Number.POSITIVE_INFINITY];
  const [minStep, maxStep] = Array.isArray(limits) && limits.length === 2 ? limits.map(numberOf) : [];
  if (minStep === undefined || maxStep === undefined || !(minStep >= 0 && maxStep >= minStep))
    throw config.invalid("time_step_limit", "two numbers, the smallest step and the largest");
  return { minStep, maxStep };
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  // Transformers 5 writes { "__float__": "Infinity" }.
  const text = typeof value === "object" && value !== null && "__float__" in value ? value.__float__ : value;
  return text === "Infinity" || text === "inf" ? Number.POSITIVE_INFINITY : undefined;
}

/** Kinds of layers by the names of Transformers 4 and 5. */
const ATTENTION = ["attention", "full_attention"];
const MAMBA = ["mamba", "linear_attention"];

/**
 * Which layers attend, by a list of `layers_block_type` or `layer_types`; all others are Mamba-2 layers, and without a list all are.
 * @throws TurboQuantError invalid_file — a list of another length, or of other kinds
 */
export function parseAttentionLayers(config: ConfigFields, numLayers: number): ReadonlySet<number> {
  const field = config.has("layer_types") ? "layer_types" : "layers_block_type";
  const kinds = config.raw(field) ?? Array.from({ length: numLayers }, () => MAMBA[0]);
  const isSound =
    Array.isArray(kinds) &&
    kinds.length === numLayers &&
    kinds.every((kind) => [...ATTENTION, ...MAMBA].includes(kind));
  if (!isSound) throw config.invalid(field, `a list of ${numLayers} of mamba and attention, one a layer`);
  return new Set(kinds.flatMap((kind, layer) => (ATTENTION.includes(kind) ? [layer] : [])));
}
