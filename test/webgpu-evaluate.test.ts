/** @file An evaluation on WebGPU: attention reads the packed codes there, and perplexity is that of the wasm backend. */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import { LLM } from "../src/engine/llm.ts";
import { evaluate } from "../src/eval/evaluate.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { isThorough } from "./support/optional.ts";
import { tolerance } from "./tolerances.ts";

/** Codes and copies; codes alone are a kernel of their own, and in test/contract. */
const KV = isThorough ? ["k4v4,sinks=0,window=0", "k4v4,sinks=4,window=16"] : ["k4v4,sinks=4,window=16"];
const CTX = isThorough ? 96 : 48;

async function rowsOf(backend: "wasm" | "webgpu") {
  await using llm = await LLM.load("qwen3-1m", { backend, kv: "f16", contextLength: 128 });
  return await evaluate(llm, { text: DEFAULT_PROMPT, kv: KV, ctx: CTX, chunks: 1 });
}

it.skipIf(gpuSkip)(
  `an evaluation on WebGPU is that of the wasm backend${gpuSkip ? ` (${gpuSkip})` : ""}`,
  async () => {
    const [wasm, webgpu] = [await rowsOf("wasm"), await rowsOf("webgpu")];
    for (const [i, kv] of KV.entries()) {
      const [expected, actual] = [wasm[i]!, webgpu[i]!];
      expect(actual.readPath, kv).toBe("packed");
      expect([actual.bitsPerValue, actual.kvBytes, actual.tokens]).toEqual([
        expected.bitsPerValue,
        expected.kvBytes,
        expected.tokens,
      ]);
      expect(Math.abs(actual.pplBase / expected.pplBase - 1), kv).toBeLessThan(tolerance.perplexity.max);
      expect(Math.abs(actual.ppl / expected.ppl - 1), kv).toBeLessThan(tolerance.perplexityCodes.max);
      expect(Math.abs(actual.kldMean / expected.kldMean - 1), kv).toBeLessThan(tolerance.divergence.max);
      // Codes cost something: a cache that is not read from them would be equal to the base.
      expect(actual.kldMean, kv).toBeGreaterThan(1e-4);
    }
  },
  GPU_TIMEOUT_MS,
);
