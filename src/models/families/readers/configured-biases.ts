/** @file Biases that a config switches on with `attention_bias` and `mlp_bias`. */
import type { ConfigFields } from "../../config-fields.ts";
import { LLAMA_TRAITS, type Traits } from "../../traits.ts";

/** attention: for a config that does not say `attention_bias` */
export function configuredBiases(config: ConfigFields, attention = false): Pick<Traits, "biases"> {
  const hasAttention = config.boolean("attention_bias", attention);
  const feedForward = config.boolean("mlp_bias", false);
  return { biases: { ...LLAMA_TRAITS.biases, qkv: hasAttention, output: hasAttention, feedForward } };
}
