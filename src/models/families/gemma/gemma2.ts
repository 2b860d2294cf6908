/** @file Gemma 2: norms before and after blocks, soft caps of scores and of logits, a sliding window on every other layer. */
import type { ConfigFields } from "../../config-fields.ts";
import type { TensorNames } from "../../tensor-names.ts";
import type { Traits } from "../../traits.ts";
import type { Family } from "../family.ts";
import { gemma, gemmaTraits } from "./gemma.ts";

export const GEMMA2_NAMES: Partial<TensorNames> = {
  feedForwardNorm: "pre_feedforward_layernorm",
};

/** caps: of scores and of logits in a config that does not say them; null in a config means none, as 0 does here */
export function gemma2Traits(
  config: ConfigFields,
  caps: { readonly scores: number; readonly logits: number },
): Partial<Traits> {
  const cap = (name: string, otherwise: number): number =>
    config.mentions(name) && !config.has(name) ? 0 : config.number(name, 0, 1e6, otherwise);
  return {
    ...gemmaTraits(config),
    norms: "around",
    attentionScale: config.number("query_pre_attn_scalar", 1e-6, 1e6, 256) ** -0.5,
    attentionSoftcap: cap("attn_logit_softcapping", caps.scores),
    logitSoftcap: cap("final_logit_softcapping", caps.logits),
  };
}

export const gemma2: Family = {
  ...gemma,
  activationField: "hidden_activation",
  modelType: "gemma2",
  summary:
    "Gemma with norms before and after blocks; soft caps of scores and logits; sliding window on every other layer",
  slidingWindow: "pattern",
  defaults: { ...gemma.defaults, numHeads: 8, numKvHeads: 4, windowPattern: 2 },
  names: GEMMA2_NAMES,
  traits: (config) => gemma2Traits(config, { scores: 50, logits: 30 }),
};
