import { expect, it } from "vitest";
import type { TensorInfo, TensorSet } from "./checkpoint.ts";
import { withTextPart } from "./text-part.ts";

const setOf = (...names: string[]): TensorSet => ({
  tensors: new Map(
    names.map((name): [string, TensorInfo] => [name, { name, dtype: "f32", shape: [1], numBytes: 4, file: "f" }]),
  ),
  read: async (name) => new TextEncoder().encode(name),
});

it.each(["language_model.model.norm.weight", "model.language_model.norm.weight"])(
  "%s is model.norm.weight",
  async (stored) => {
    const set = withTextPart(setOf(stored, "vision_tower.norm.weight", "language_model.lm_head.weight"));
    expect([...set.tensors.keys()]).toEqual(["model.norm.weight", "vision_tower.norm.weight", "lm_head.weight"]);
    expect(set.nameInFile!("model.norm.weight")).toBe(stored);
    expect(new TextDecoder().decode(await set.read("model.norm.weight"))).toBe(stored);
  },
);

it("a text model is what it was", () => {
  const set = setOf("model.norm.weight", "lm_head.weight");
  expect(withTextPart(set)).toBe(set);
});

it("DeepSeek-V4's files have no name of the model before theirs", () => {
  const stored = ["embed.weight", "layers.0.attn.wkv.weight", "hc_head_fn", "norm.weight", "head.weight"];
  expect([...withTextPart(setOf(...stored)).tensors.keys()]).toEqual([
    "model.embed_tokens.weight",
    "model.layers.0.attn.wkv.weight",
    "model.hc_head.hc_fn",
    "model.norm.weight",
    "lm_head.weight",
  ]);
});
