/** @file A file without some of the experts is one error, which says how many. */
import { expect, it } from "vitest";
import { checkWeights } from "./check-weights.ts";
import { parseModelConfig } from "./config.ts";
import { RandomCheckpoint } from "./random-weights.ts";

const MIXTURE = {
  model_type: "qwen3_moe",
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 32,
  num_experts: 8,
  num_experts_per_tok: 2,
  moe_intermediate_size: 16,
};

const stored = (numExperts: number) => new RandomCheckpoint({ ...MIXTURE, num_experts: numExperts }, "small");

it("experts that a file does not have", async () => {
  const config = parseModelConfig(MIXTURE, "config.json");
  await checkWeights(stored(8), config);
  const few = stored(6);
  // The router would be the first that differs.
  const all = new Map([...(await stored(8).tensors())].filter(([name]) => !/\.experts\.[67]\./.test(name)));
  Object.assign(few, { tensors: async () => all });
  await expect(checkWeights(few, config)).rejects.toThrow(
    /model\.layers\.0\.mlp\.experts\.6\.gate_proj\.weight is missing with 3 more of the 16 matrices of this layer's experts, which its config\.json calls for/,
  );
  await expect(checkWeights(stored(6), config)).rejects.toThrow(/mlp\.gate\.weight: expected \[8,64\]/);
});
