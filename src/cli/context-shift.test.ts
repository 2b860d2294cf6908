/** @file An answer that goes on beyond the context, by a session that only says what it is asked for. */
import { expect, it } from "vitest";
import type { GenerateOptions, GenerationChunk } from "../engine/generation.ts";
import type { Session } from "../engine/session.ts";
import { generateShifting } from "./context-shift.ts";

const CONTEXT = 8;

it("what was drawn before a shift goes along, so that the answer goes on with the seed's stream and its penalties", async () => {
  const asked: GenerateOptions[] = [];
  const session = {
    tokens: [] as number[],
    async *generate(ids: ArrayLike<number>, options: GenerateOptions): AsyncGenerator<GenerationChunk> {
      asked.push(options);
      this.tokens.push(...Array.from(ids));
      let drawn = 0;
      for (;;) {
        const token = 100 + (options.drawnBefore?.length ?? 0) + drawn++;
        this.tokens.push(token);
        const isOver = drawn === options.maxNewTokens || this.tokens.length > CONTEXT;
        const timings = { ttftMs: 0, prefillMs: 0, decodeMs: 0, prefillTokPerSec: 0, decodeTokPerSec: 0 };
        const usage = { promptTokens: ids.length, cachedTokens: 0, completionTokens: drawn };
        yield { text: "", token, ...(isOver && { finishReason: "length" as const, usage, timings }) };
        if (isOver) return;
      }
    },
    rewindTo(): number {
      this.tokens.length = 0;
      return 0;
    },
  };
  const shift = { contextLength: CONTEXT, keep: 1, maxNewTokens: 12 };
  const tokens: number[] = [];
  const chunks = generateShifting(session as unknown as Session, [1, 2, 3], { seed: 4 }, shift);
  for await (const { token } of chunks) tokens.push(token!);
  expect(tokens).toEqual(Array.from({ length: 12 }, (_, i) => 100 + i));
  expect(asked.length).toBeGreaterThan(1);
  expect(asked.map(({ drawnBefore }) => drawnBefore!.length)).toEqual([0, 6, 10]);
});
