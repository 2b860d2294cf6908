/** @file Pages that grow coarser on WebGPU, under a budget, in sequences that are saved, restored and forked. The model is tiny; `test/contract` has the numbers. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { LLM } from "../src/engine/llm.ts";
import type { Session } from "../src/engine/session.ts";
import { writeRandomCheckpoint } from "./support/fake-checkpoint.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";

const PROMPT = Array.from({ length: 300 }, (_, i) => 300 + ((i * 7919) % 700));

async function tokensOf(session: Session, prompt: readonly number[], count: number): Promise<number[]> {
  const tokens: number[] = [];
  for await (const { token } of session.generate(prompt, { temperature: 0, ignoreEos: true, maxNewTokens: count })) {
    if (token !== undefined) tokens.push(token);
  }
  return tokens;
}

/** First pages of each layer in 4, 3 and 2 bits, or in fewer. */
const coarser = ({ sequence }: Session): number[][] =>
  sequence.cache.layers.map((_, layer) =>
    sequence.tiers(layer).map((_, tier) => sequence.kv(layer).tierPages(tier, 0)),
  );

describe.skipIf(gpuSkip)(`tiers on webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-tiers-"));
  beforeAll(() => {
    writeRandomCheckpoint(folder, {
      num_hidden_layers: 2,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      head_dim: 16,
    });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const load = (kvBudgetBytes: number): Promise<LLM> =>
    LLM.load(folder, { kv: "auto", kvBudgetBytes, backend: "webgpu", calibration: "off" });

  it("a budget makes pages coarser, the same each time; saved, restored and forked sequences go on alike", async () => {
    const { kvBytes, whole } = await (async () => {
      await using llm = await load(1e9);
      const session = llm.createSession();
      const whole = await tokensOf(session, PROMPT, 8);
      expect(
        coarser(session)
          .flat()
          .every((pages) => pages === 0),
      ).toBe(true);
      return { kvBytes: session.kvBytes, whole };
    })();
    expect(whole).toHaveLength(8);
    const budget = Math.ceil(0.9 * kvBytes);
    const files: Uint8Array[] = [];
    for (let run = 0; run < 2; run++) {
      await using llm = await load(budget);
      const session = llm.createSession();
      await tokensOf(session, PROMPT, 8);
      const pages = coarser(session);
      for (const [fours] of pages) expect(fours).toBeGreaterThan(0);
      expect(llm.cache.numBytes).toBeLessThanOrEqual(budget);
      const file = await session.save();
      files.push(file);
      if (run > 0) continue;
      const fork = session.fork();
      const next = [400, 401, 402];
      // Pages that it shared with the fork would have to be there twice.
      session.release();
      const said = await tokensOf(fork, next, 4);
      fork.release();
      const restored = await llm.restore(file);
      expect(coarser(restored)).toEqual(pages);
      expect(await restored.save()).toEqual(file);
      expect(await tokensOf(restored, next, 4)).toEqual(said);
      restored.release();
      expect(llm.cache.numBytes).toBe(0);
    }
    expect(files[1]).toEqual(files[0]);
  });
});
