/** @file Plans of quantized checkpoints of which only the config.json is there. */
import { expect, it } from "vitest";
import type { JsonObject } from "../formats/json-file.ts";
import { planMemory } from "./memory-plan.ts";
import { planNotes } from "./notes.ts";
import { plannedModel } from "./planned-model.ts";

const config = {
  model_type: "qwen2",
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
  vocab_size: 320,
  max_position_embeddings: 1024,
  tie_word_embeddings: false,
};
const of = (quantization_config: JsonObject) => plannedModel({ ...config, quantization_config }, "config.json");
const MATRIX = "model.layers.0.mlp.down_proj.weight";

it.each<[string, JsonObject, matrix: string, embedding: string, head: string]>([
  ["gptq", { quant_method: "gptq", bits: 4, group_size: 128 }, "q4", "bf16", "bf16"],
  ["gptq of 8 bits", { quant_method: "gptq", bits: 8, group_size: 128, lm_head: true }, "q8", "bf16", "q8"],
  ["awq", { quant_method: "awq", bits: 4, version: "gemm" }, "q4", "bf16", "bf16"],
  ["fp8", { quant_method: "fp8", weight_block_size: [128, 128] }, "q8", "bf16", "bf16"],
  ["bitsandbytes", { quant_method: "bitsandbytes", load_in_4bit: true }, "q8", "bf16", "bf16"],
  ["mlx", { group_size: 64, bits: 4 }, "q4", "q4", "q4"],
  ["mlx of FP4", { group_size: 32, bits: 4, mode: "mxfp4" }, "mxfp4", "mxfp4", "mxfp4"],
  [
    "compressed-tensors",
    {
      quant_method: "compressed-tensors",
      config_groups: { a: { weights: { type: "int", num_bits: 4 } } },
      ignore: ["lm_head"],
    },
    ...(["q4", "bf16", "bf16"] as const),
  ],
  [
    "compressed-tensors of FP8",
    { quant_method: "compressed-tensors", config_groups: { a: { weights: { type: "float", num_bits: 8 } } } },
    ...(["q8", "bf16", "q8"] as const),
  ],
])("%s", (_, settings, matrix, embedding, head) => {
  const { storedTypeOf } = of(settings);
  const types = [MATRIX, "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"].map((name) =>
    storedTypeOf!.get(name),
  );
  expect(types).toEqual([matrix, embedding, head, "bf16"]);
});

it("a module that is left out is plain, and a note says whose word it is", () => {
  const model = of({ quant_method: "gptq", bits: 4, modules_to_not_convert: ["down_proj"] });
  expect(model.storedTypeOf!.get(MATRIX)).toBe("bf16");
  const notes = planNotes(planMemory(model, { memoryBytes: 1e9 }));
  expect(notes.map(({ text }) => text)).toContainEqual(
    "that the weights are stored in gptq and read as q4 is the config's word, no headers were read; --weights says otherwise",
  );
});

it("a quantization that is not read is refused by name", () => {
  expect(() => of({ quant_method: "aqlm" })).toThrow(/quantization_config: expected a quantization of gptq.*aqlm/);
});
