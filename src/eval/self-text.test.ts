import { afterAll, beforeAll, expect, it } from "vitest";
import "../node/install.ts";
import { LLM } from "../engine/llm.ts";
import { writeSelfText } from "./self-text.ts";
import { textChunks } from "./text-chunks.ts";

let llm: LLM;
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm", contextLength: 50 });
});
afterAll(async () => {
  await llm.dispose();
});

it("is long enough, the same for the same seed, and prose", async () => {
  const seen: number[] = [];
  const options = { tokens: 420, onProgress: ({ done }: { done: number }) => seen.push(done) };
  const text = await writeSelfText(llm, options);
  expect(textChunks(llm.tokenizer, text, 140, 3).length).toBe(3);
  expect(await writeSelfText(llm, { tokens: 420 })).toBe(text);
  expect(await writeSelfText(llm, { tokens: 420, seed: 1 })).not.toBe(text);
  // 8 pieces of 49 tokens are not 420: a second round was needed, whose text has fewer tokens than were drawn.
  expect(seen.length, "said while it is written").toBeGreaterThan(50);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(420);
  expect(text).not.toMatch(/<\|/);
  // Seeds of later rounds are not those of earlier ones: no piece comes twice.
  const pieces = text.split("\n\n");
  expect(new Set(pieces).size).toBe(pieces.length);
  expect(llm.cache.numBytes).toBe(0);
});

it("stops when asked to", async () => {
  await expect(writeSelfText(llm, { tokens: 420, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  expect(llm.cache.numBytes).toBe(0);
});
