/** What a token becomes: text, an end, and the figures of the last piece. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { FAKE_EOS, FAKE_VOCAB } from "../../test/support/fake-checkpoint.ts";
import { loadFake } from "../../test/support/fake-ops.ts";
import { Continuation } from "./continuation.ts";
import type { LLM } from "./llm.ts";
import { parseSamplingConfig, type SamplingOptions } from "./sampling-params.ts";

let llm: LLM;
beforeAll(async () => {
  ({ llm } = await loadFake({}, { contextLength: 20 }));
});
afterAll(() => llm.dispose());
afterEach(() => vi.restoreAllMocks());

const continuationOf = (options: SamplingOptions): Continuation => new Continuation(llm, parseSamplingConfig(options));

/** Logits of which `token` has the largest. */
function favouring(token: number): Float32Array {
  const logits = new Float32Array(FAKE_VOCAB);
  logits[token] = 10;
  return logits;
}

const PROMPT = {
  promptTokens: 12,
  cachedTokens: 4,
  rereadTokens: 0,
  fedTokens: 8,
  submittedAt: 100,
  startedAt: 150,
} as const;

describe("figures", () => {
  it("count tokens and times from the first to the last one", () => {
    const clock = vi.spyOn(performance, "now");
    const continuation = continuationOf({ maxNewTokens: 5 });
    const tokens = [1, 2, 3];
    for (const time of [170, 180, 210]) {
      clock.mockReturnValue(time);
      continuation.next(tokens, favouring(500));
    }
    clock.mockReturnValue(9000);
    expect(continuation).toMatchObject({ completionTokens: 3, firstAt: 170, lastAt: 210 });
    expect(continuation.figures(PROMPT)).toEqual({
      usage: { promptTokens: 12, cachedTokens: 4, completionTokens: 3 },
      timings: { ttftMs: 70, prefillMs: 20, decodeMs: 40, prefillTokPerSec: 400, decodeTokPerSec: 50 },
    });
    expect(continuation.figures({ ...PROMPT, rereadTokens: 6 }).usage.rereadTokens).toBe(6);
  });

  it("of an answer without a token end now, and without a step begin with the call", () => {
    const clock = vi.spyOn(performance, "now").mockReturnValue(190);
    const continuation = continuationOf({});
    expect(continuation.figures(PROMPT).timings).toEqual({
      ttftMs: 90,
      prefillMs: 40,
      decodeMs: 0,
      prefillTokPerSec: 200,
      decodeTokPerSec: 0,
    });
    expect(continuation.figures({ ...PROMPT, startedAt: 0 }).timings.prefillMs).toBe(90);
    clock.mockReturnValue(100);
    expect(continuation.figures({ ...PROMPT, startedAt: 0 }).timings.prefillTokPerSec).toBe(0);
  });
});

describe("an answer ends", () => {
  it("at an end-of-sequence token, which is no text, unless it is to be ignored", () => {
    const ends = continuationOf({}).next([1], favouring(FAKE_EOS));
    expect(ends).toMatchObject({ finishReason: "stop", chunk: { text: "", token: FAKE_EOS } });
    expect(continuationOf({ ignoreEos: true }).next([1], favouring(FAKE_EOS)).finishReason).toBeNull();
  });

  it("before a stop string, of which nothing is handed out", () => {
    const continuation = continuationOf({ stop: ["w501 w502"] });
    const said = [500, 501, 502].map((token) => continuation.next([1], favouring(token)));
    expect(said.map(({ chunk }) => chunk.text).join("")).toBe(" w500 ");
    expect(said.map(({ finishReason }) => finishReason)).toEqual([null, null, "stop"]);
  });

  it("after as many tokens as are asked for, and where the context does, with the text that was held back", () => {
    const few = continuationOf({ maxNewTokens: 2, stop: ["w501 w999"] });
    expect(few.next([1], favouring(500)).finishReason).toBeNull();
    expect(few.next([1], favouring(501))).toMatchObject({ finishReason: "length", chunk: { text: " w501" } });
    const long = continuationOf({ maxNewTokens: 100 });
    const tokens = Array.from({ length: 19 }, () => 500);
    expect(long.next(tokens, favouring(500)).finishReason).toBeNull();
    // The last token need not fit the context.
    expect(long.next(tokens, favouring(500)).finishReason).toBe("length");
    expect(tokens).toHaveLength(21);
  });
});

describe("a token of the device", () => {
  it("is taken as it is, with its log-probability where that is wanted", () => {
    const sample = { token: 600, logprob: -0.5 };
    const none = new Float32Array(0);
    expect(continuationOf({}).next([1], none, sample).chunk).toMatchObject({
      token: 600,
      text: " w600",
      logprob: -0.5,
    });
    expect(continuationOf({ wantsLogprob: false }).next([1], none, sample).chunk).not.toHaveProperty("logprob");
    const bad = { token: 0, logprob: Number.NaN, notFinite: { token: 7, value: Number.NaN } };
    expect(() => continuationOf({}).next([1], none, bad)).toThrow("the logits are not finite (token 7: NaN)");
  });

  it("is not asked for where the host has to see the logits", () => {
    const constraint = { mask() {}, advance() {}, fork: () => constraint };
    for (const options of [
      { constraint },
      { repetitionPenalty: 1.1 },
      { logitBias: [[5, 1] as const] },
      { logprobs: 1 },
    ]) {
      expect(continuationOf(options).draw).toBeNull();
    }
    expect(continuationOf({ temperature: 0.5, topK: 7 }).draw).toMatchObject({ temperature: 0.5, topK: 7 });
  });
});
