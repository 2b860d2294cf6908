/** @file What `LLM.load` is given by mistake is refused before anything is opened. */
import { expect, it } from "vitest";
import { LLM } from "./llm.ts";

it.each([
  [["qwen3-1m", { kV: "k4v4" }], "load: unknown option kV; did you mean kv?"],
  [["qwen3-1m", { ctx: 512 }], /^load: unknown option ctx/],
  [[], /^load: expected a model's name, folder or address/],
])("%j", async (args, message) => {
  await expect(LLM.load(...(args as Parameters<typeof LLM.load>))).rejects.toThrow(message);
});
