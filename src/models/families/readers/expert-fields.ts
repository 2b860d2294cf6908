/** @file What config files say of mixtures of experts, and what families call their tensors. */
import type { RouterGroups } from "../../../backends/experts.ts";
import type { ExpertTraits, SharedExpert } from "../../blocks/expert-feed-forward.ts";
import type { ExpertNames } from "../../blocks/expert-tensors.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { MixtureSizes } from "../family.ts";

// As the kernel that chooses among them has room for; above any published model.
const MAX_EXPERTS = 1024;
const MAX_TOP_K = 64;
const MAX_WIDTH = 2 ** 20;
const MAX_COUNT = 1024;

/** The names that families have for the number of experts, the newest first. */
const NUMBER_FIELDS = ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"];
const TOP_K_FIELDS = ["num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"];

const fieldOf = (config: ConfigFields, names: readonly string[]): string =>
  names.find((name) => config.has(name)) ?? names[0]!;

export interface ExpertDefaults {
  readonly numExperts?: number;
  readonly topK?: number;
  readonly width?: number;
}

/** A whole number, or a list of one for each layer that are equal. */
export function sameForAll(config: ConfigFields, field: string, min: number, max: number, fallback?: number): number {
  const value = config.raw(field);
  if (!Array.isArray(value)) return config.integer(field, min, max, fallback);
  const [first] = value;
  if (!value.every((number) => number === first))
    throw config.unsupported(field, "layers that differ in this are not supported");
  if (!Number.isInteger(first) || first < min || first > max)
    throw config.invalid(field, `whole numbers from ${min} to ${max}`);
  return first;
}

/** Number of experts, those of a row, and the width of each. widthField: default `moe_intermediate_size` */
export function expertSizes(
  config: ConfigFields,
  defaults: ExpertDefaults = {},
  widthField = "moe_intermediate_size",
): Pick<ExpertTraits, "numExperts" | "topK" | "width"> {
  const numExperts = sameForAll(config, fieldOf(config, NUMBER_FIELDS), 2, MAX_EXPERTS, defaults.numExperts);
  const topK = sameForAll(config, fieldOf(config, TOP_K_FIELDS), 1, Math.min(numExperts, MAX_TOP_K), defaults.topK);
  return { numExperts, topK, width: config.integer(widthField, 1, MAX_WIDTH, defaults.width) };
}

/** Which layers have experts: a list of layers that have none, and every so manieth of the others. */
export function isSparseByStep(config: ConfigFields): (layer: number) => boolean {
  const dense = config.raw("mlp_only_layers") ?? [];
  if (!Array.isArray(dense) || dense.some((layer) => !Number.isInteger(layer)))
    throw config.invalid("mlp_only_layers", "a list of layers");
  const step = config.integer("decoder_sparse_step", 1, 2 ** 16, 1);
  return (layer) => !dense.includes(layer) && (layer + 1) % step === 0;
}

/** Which layers have experts: a list of `dense` and `sparse`, or all behind the first few. */
export function isSparseByType(config: ConfigFields, numLayers: number, numDense: number): (layer: number) => boolean {
  const types = config.raw("mlp_layer_types");
  if (types === undefined) return (layer) => layer >= numDense;
  const isType = (type: unknown): boolean => type === "dense" || type === "sparse";
  if (!Array.isArray(types) || types.length !== numLayers || !types.every(isType))
    throw config.invalid("mlp_layer_types", `a list of ${numLayers} times dense or sparse, one a layer`);
  return (layer) => types[layer] === "sparse";
}

/** Of checkpoints of DeepSeek: the layers before `first_k_dense_replace` have no experts. Transformers does not look at `moe_layer_freq`. */
export function isSparseBehind(config: ConfigFields, firstLayer: number): (layer: number) => boolean {
  const first = config.integer("first_k_dense_replace", 0, MAX_COUNT, firstLayer);
  return (layer) => layer >= first;
}

/** The fields of DeepSeek's routers: experts in groups, of which the best are chosen first. */
export function routerGroups(
  config: ConfigFields,
  { numExperts, topK }: Pick<ExpertTraits, "numExperts" | "topK">,
  defaults: { readonly count: number; readonly chosen: number; readonly by: RouterGroups["by"] },
): RouterGroups | null {
  const count = config.integer("n_group", 1, numExperts, defaults.count);
  const chosen = config.integer("topk_group", 1, count, Math.min(count, defaults.chosen));
  if (numExperts % count !== 0) throw config.invalid("n_group", `a divisor of the number of experts (${numExperts})`);
  const candidates = (chosen * numExperts) / count;
  if (candidates < topK)
    throw config.invalid("topk_group", `groups with at least the ${topK} experts of a token, not ${candidates}`);
  return count === 1 ? null : { count, chosen, by: defaults.by };
}

/** A router whose experts count the softmax of their logits. */
export const SOFTMAX_ROUTER: ExpertTraits["router"] = {
  score: "softmax",
  scoresChosen: false,
  groups: null,
  normalizes: false,
  epsilon: 0,
  scale: 1,
  jitter: 0,
};

/** What mixtures have in common that differ in sizes and router alone. */
export function swigluExperts({
  activation,
}: MixtureSizes): Pick<ExpertTraits, "biases" | "activation" | "scalesInput" | "shared" | "stack"> {
  return {
    biases: { router: false, experts: false },
    activation: { kind: activation, isGated: true },
    scalesInput: false,
    shared: null,
    stack: { isTransposed: false, isInterleaved: false },
  };
}

export const MLP_EXPERTS: ExpertNames = {
  router: "mlp.gate",
  experts: "mlp.experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  stacked: { gateUp: "mlp.experts.gate_up_proj", down: "mlp.experts.down_proj" },
};

/** As Mixtral has them. */
export const BLOCK_SPARSE_EXPERTS: ExpertNames = {
  router: "block_sparse_moe.gate",
  experts: "block_sparse_moe.experts",
  gate: "w1",
  up: "w3",
  down: "w2",
};

/** A feed-forward that all rows go through. prefix: of its tensors in the layer */
export const sharedExpert = (prefix: string, width: number): SharedExpert => ({
  width,
  names: { gate: `${prefix}.gate_proj`, up: `${prefix}.up_proj`, down: `${prefix}.down_proj` },
});

const COUNT_SHARED = ["n_shared_experts", "num_shared_experts", "moe_num_shared_experts"];

/** A feed-forward as wide as so many experts. prefix: of its tensors; absent fields: `fallback` of them */
export function sharedExperts(
  config: ConfigFields,
  width: number,
  fallback: number,
  prefix = "mlp.shared_experts",
): SharedExpert | null {
  const count = config.integer(fieldOf(config, COUNT_SHARED), 0, MAX_EXPERTS, fallback);
  return count === 0 ? null : sharedExpert(prefix, width * count);
}

/** The mixtures of DeepSeek V3 and those like them: sigmoid with a bias for the choice, or plain softmax, perhaps in groups, and shared experts. */
export function deepseekExperts(
  config: ConfigFields,
  sizes: MixtureSizes,
  defaults: ExpertDefaults & {
    readonly groups?: { readonly count: number; readonly chosen: number };
    readonly numShared?: number;
    readonly normalizes?: boolean;
    readonly scale?: number;
    /** Configs of several families have a `scoring_func` that their models do not read. */
    readonly score?: "sigmoid" | "softmax";
  } = {},
): ExpertTraits {
  const own = expertSizes(config, defaults);
  const groups = { ...(defaults.groups ?? { count: 1, chosen: 1 }), by: "bestTwo" as const };
  const score = defaults.score ?? "sigmoid";
  const choiceBias = ["mlp.gate.e_score_correction_bias", "mlp.e_score_correction_bias"];
  return {
    ...own,
    ...swigluExperts(sizes),
    router: {
      score,
      scoresChosen: false,
      groups: routerGroups(config, own, groups),
      normalizes: config.boolean("norm_topk_prob", defaults.normalizes ?? true),
      epsilon: 1e-20,
      scale: config.number("routed_scaling_factor", 0, 1e6, defaults.scale ?? 1),
      jitter: 0,
    },
    shared: sharedExperts(config, own.width, defaults.numShared ?? 1),
    names: [score === "softmax" ? MLP_EXPERTS : { ...MLP_EXPERTS, choiceBias }],
  };
}

/** Granite's feed-forward beside its experts. */
export const GRANITE_SHARED = { gateUp: "shared_mlp.input_linear", down: "shared_mlp.output_linear" };

/** The mixtures of Granite: softmax over the chosen, experts in one tensor, and perhaps a feed-forward beside them. */
export function graniteExperts(config: ConfigFields, sizes: MixtureSizes): ExpertTraits {
  const width = config.integer("shared_intermediate_size", 0, MAX_WIDTH, 0);
  return {
    ...expertSizes(config, { numExperts: 8, topK: 2, width: 11_008 }, "intermediate_size"),
    ...swigluExperts(sizes),
    router: { ...SOFTMAX_ROUTER, scoresChosen: true },
    shared: width === 0 ? null : { width, names: GRANITE_SHARED, isFused: true },
    names: [
      {
        ...BLOCK_SPARSE_EXPERTS,
        router: "block_sparse_moe.router.layer",
        stacked: {
          gateUp: "block_sparse_moe.input_linear.weight",
          down: "block_sparse_moe.output_linear.weight",
        },
      },
    ],
    stack: { isTransposed: false, isInterleaved: false, isUsual: true },
  };
}

/** The mixtures of Qwen: softmax, and from Qwen 2 on with a shared expert that each row has a gate for. */
export function qwenExperts(
  config: ConfigFields,
  sizes: MixtureSizes,
  defaults: ExpertDefaults & { readonly sharedWidth?: number; readonly normalizes: boolean },
): ExpertTraits {
  const own = expertSizes(config, defaults);
  const { sharedWidth } = defaults;
  const shared =
    sharedWidth === undefined
      ? null
      : sharedExpert("mlp.shared_expert", config.integer("shared_expert_intermediate_size", 1, MAX_WIDTH, sharedWidth));
  return {
    ...own,
    ...swigluExperts(sizes),
    router: { ...SOFTMAX_ROUTER, normalizes: config.boolean("norm_topk_prob", defaults.normalizes) },
    shared: shared && { ...shared, rowGate: "mlp.shared_expert_gate.weight" },
    names: [MLP_EXPERTS],
  };
}
