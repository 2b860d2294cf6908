/** @file What `--model` of `serve` may say. */
import { expect, it } from "vitest";
import { checkNames, collectModels, wantedModel } from "./model-flags.ts";

it.each([
  ["qwen3-3m", { ref: "qwen3-3m" }],
  ["small=qwen3-1m", { name: "small", ref: "qwen3-1m" }],
  ["org/name:Q4=./a=b.gguf", { name: "org/name:Q4", ref: "./a=b.gguf" }],
  ["org/name:Q4_K_M", { ref: "org/name:Q4_K_M" }],
  ["https://host/model.gguf?key=x", { ref: "https://host/model.gguf?key=x" }],
  ["/models/lr=3/model", { ref: "/models/lr=3/model" }],
  ["=model", { ref: "=model" }],
  ["name=", { ref: "name=" }],
])("%s", (text, wanted) => {
  expect(wantedModel(text)).toEqual(wanted);
});

it("a path that is there is meant as a whole", () => {
  expect(wantedModel("lr=3", (path) => path === "lr=3")).toEqual({ ref: "lr=3" });
});

it("values come after another in place of the default, and names are different", () => {
  expect(collectModels("b", collectModels("a", "default"))).toEqual(["a", "b"]);
  expect(collectModels("a", undefined)).toEqual(["a"]);
  checkNames(["a", "b"]);
  expect(() => checkNames(["a", "b", "a"])).toThrow("two models are called a; give them names");
});
