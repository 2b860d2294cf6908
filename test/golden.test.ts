/** @file Logits and greedy tokens of the reference checkpoints against another implementation (golden.json). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { BackendName } from "../src/index.ts";
import { LLM } from "../src/index.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { isThorough } from "./support/optional.ts";
import { checkpointPath } from "./support/shared.ts";
import { tolerance } from "./tolerances.ts";

interface Golden {
  readonly prompt: string;
  readonly ids: number[];
  readonly top_ids: number[];
  readonly top_logits: number[];
  readonly logit_l2: number[];
  readonly greedy: number[];
  readonly greedy_text: string;
}

const MODELS = ["qwen3-1m", "qwen3-3m", "qwen3-9m", "mistral-9m"];
/** An exact cache. The reference backend takes seconds for a model, so it shares the suite with wasm only here. */
const BACKENDS: BackendName[] = ["wasm", "reference", ...(gpuSkip ? [] : (["webgpu"] as const))];

/**
 * A token takes SwiftShader up to half a second, and a model's kernels one or two. There one model of each family is read: the smallest has every
 * prompt, one of them longer than a page of the cache, the other, whose layers slide, a short one. The logits of all of a prompt's tokens are compared, and as many greedy
 * tokens as show that decoding goes on from them.
 */
const SHORT_PROMPT = "chat";
const GPU_TOKENS = 8;
const GPU_MODELS = ["qwen3-1m", "mistral-9m"];
/** Plain TypeScript takes ten seconds for these: there the short prompt and fewer greedy tokens stand for what the smallest model has and wasm has of all. */
const LARGE_MODELS = ["qwen3-3m", "qwen3-9m", "mistral-9m"];
const LARGE_TOKENS = 16;

for (const model of MODELS) {
  const path = checkpointPath(model);
  describe.skipIf(!path)(`${model}${path ? "" : " (checkpoint not present)"}`, () => {
    const golden = path ? (JSON.parse(readFileSync(join(path, "golden.json"), "utf8")) as Record<string, Golden>) : {};
    for (const backend of BACKENDS) {
      const isShort = backend === "webgpu" && !isThorough;
      if (isShort && !GPU_MODELS.includes(model)) continue;
      const isSlow = backend === "reference" && !isThorough && LARGE_MODELS.includes(model);
      const count = isShort ? GPU_TOKENS : isSlow ? LARGE_TOKENS : 48;
      const hasAll = model === MODELS[0] || !(isShort || isSlow);
      const prompts = Object.keys(golden).filter((name) => hasAll || name === SHORT_PROMPT);
      it(
        `${backend}: ids, top-10 logits and ${count} greedy tokens of ${prompts.join(", ")}`,
        async () => {
          await using llm = await LLM.load(path!, { kv: "f32", backend });
          expect(prompts).not.toEqual([]);
          for (const expected of prompts.map((name) => golden[name]!)) {
            expect(Array.from(llm.tokenizer.encode(expected.prompt, { addSpecialTokens: false }))).toEqual(
              expected.ids,
            );
            const sequence = llm.cache.createSequence();
            const vocab = llm.config.vocabSize;
            let logits = await llm.runner.prefill(sequence, expected.ids, { logits: "all" });
            expected.logit_l2.forEach((l2, row) => {
              const own = Math.hypot(...logits.subarray(row * vocab, (row + 1) * vocab));
              expect(Math.abs(own / l2 - 1)).toBeLessThan(tolerance.goldenLogitNorm.max);
            });
            logits = logits.subarray((expected.ids.length - 1) * vocab);
            expected.top_ids.forEach((id, i) => {
              expect(Math.abs(logits[id]! - expected.top_logits[i]!)).toBeLessThan(tolerance.goldenLogits.max);
            });
            const greedy: number[] = [];
            for (;;) {
              let best = 0;
              for (let t = 1; t < vocab; t++) if (logits[t]! > logits[best]!) best = t;
              greedy.push(best);
              if (greedy.length === count) break;
              logits = await llm.runner.step([{ sequence, tokens: [best], logits: "last" }]);
            }
            expect(greedy).toEqual(expected.greedy.slice(0, count));
            expect(expected.greedy).toHaveLength(48);
            sequence.release();
          }
          expect(llm.cache.numBytes).toBe(0);
        },
        GPU_TIMEOUT_MS,
      );
    }
  });
}
