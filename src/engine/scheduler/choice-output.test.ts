/** @file What readers and observers get of a choice: pieces, cache reports, the last piece, the report of a request. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FAKE_VOCAB } from "../../../test/support/fake-checkpoint.ts";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { randomPrompt } from "../../../test/support/scheduled.ts";
import type { LLM } from "../llm.ts";
import type { DrawnRow } from "../speculation/drafted-rows.ts";
import { pushLastPiece, reportOf, takeTokens, wantedRows } from "./choice-output.ts";
import { makeRequest } from "./make-request.ts";
import type { SchedulerObserver } from "./observer.ts";
import type { Choice, Request, ScheduledChunk, ScheduleOptions } from "./request.ts";

let llm: LLM;
beforeAll(async () => {
  ({ llm } = await loadFake());
});
afterAll(() => llm.dispose());

const requestOf = (length: number, options: ScheduleOptions = {}): Request =>
  makeRequest(llm, randomPrompt(length, 1), options, { order: 0, maxRunning: 4, usesPrefixes: true });

/** Gives a choice a sequence that has read all of its tokens. */
async function read(choice: Choice): Promise<void> {
  choice.sequence ??= llm.cache.createSequence();
  await llm.runner.prefill(choice.sequence, choice.tokens.slice(choice.sequence.length), { logits: "none" });
}

function favouring(token: number): DrawnRow {
  const logits = new Float32Array(FAKE_VOCAB);
  logits[token] = 10;
  return { logits, sample: null };
}

async function piecesOf({ output }: Request): Promise<ScheduledChunk[]> {
  output.close();
  const pieces: ScheduledChunk[] = [];
  for await (const piece of output.read()) pieces.push(piece);
  return pieces;
}

describe("logits that a step returns", () => {
  it("are those of the last known token, and of the whole prompt where it is to be scored", () => {
    const [choice] = requestOf(200).choices;
    expect(wantedRows(choice!, 0, 128)).toBe("none");
    expect(wantedRows(choice!, 128, 72)).toBe("last");
    const [scored] = requestOf(200, { promptLogprobs: 0 }).choices;
    expect(wantedRows(scored!, 0, 128)).toBe("all");
    scored!.tokens.push(5);
    expect(wantedRows(scored!, 200, 1)).toBe("last");
  });
});

describe("tokens", () => {
  it("of all choices go to one reader, the request's first is told once, each next one by itself", async () => {
    const request = requestOf(70, { n: 2, maxNewTokens: 2 });
    request.startedAt = request.submittedAt + 1;
    request.cachedTokens = 64;
    const told: string[] = [];
    const observer: SchedulerObserver = {
      onFirstToken: () => told.push("first"),
      onNextToken: () => told.push("next"),
      onPrefixLookup: (tokens, hits) => told.push(`${hits} of ${tokens}`),
    };
    for (const choice of request.choices) {
      choice.slot = 3 + choice.index;
      await read(choice);
    }
    const ends = [500, 501].flatMap((token) =>
      request.choices.map((choice) => takeTokens(choice, favouring(token), null, observer)),
    );
    expect(ends).toEqual([null, null, "length", "length"]);
    expect(told).toEqual(["first", "64 of 70", "next", "next"]);
    const pieces = await piecesOf(request);
    expect(pieces.map(({ index, slot, text }) => [index, slot, text])).toEqual([
      [0, 3, " w500"],
      [1, 4, " w500"],
      [0, 3, " w501"],
      [1, 4, " w501"],
    ]);
    for (const { finishReason, usage } of pieces.slice(2)) {
      expect([finishReason, usage]).toEqual(["length", { promptTokens: 70, cachedTokens: 64, completionTokens: 2 }]);
    }
    expect(reportOf(request.choices[0]!, "length")).toMatchObject({
      promptTokens: 70,
      cachedTokens: 64,
      completionTokens: 4,
      queueMs: 1,
      finishReason: "length",
    });
    for (const { sequence } of request.choices) sequence!.release();
  });

  it("say how large the cache is with the first one, at page ends and with the last one, if that was asked for", async () => {
    const request = requestOf(62, { maxNewTokens: 5, reportsCache: true });
    const choice = request.choices[0]!;
    for (let n = 0; n < 5; n++) {
      await read(choice);
      takeTokens(choice, favouring(500 + n), null, {});
    }
    const pieces = await piecesOf(request);
    expect(pieces.map(({ cache }) => cache?.tokens)).toEqual([62, undefined, 64, undefined, 66]);
    expect(pieces[0]!.cache!.layers).toHaveLength(llm.config.numLayers);
    choice.sequence!.release();
  });
});

describe("an end without a token", () => {
  it("hands out the text that was held back, and the figures so far", async () => {
    const request = requestOf(20, { stop: ["w500 w999"], reportsCache: true });
    const choice = request.choices[0]!;
    await read(choice);
    takeTokens(choice, favouring(500), null, {});
    pushLastPiece(choice, "aborted");
    const [first, last] = await piecesOf(request);
    expect(first!.text).toBe(" ");
    expect(last).toMatchObject({ text: "w500", finishReason: "aborted", usage: { completionTokens: 1 } });
    expect(last!.cache!.tokens).toBe(20);
    choice.sequence!.release();
  });

  it("of one that never ran has waited all its time", async () => {
    const request = requestOf(20, { reportsCache: true });
    pushLastPiece(request.choices[0]!, "aborted");
    const [only] = await piecesOf(request);
    expect(only).toMatchObject({ text: "", finishReason: "aborted", usage: { completionTokens: 0 } });
    expect(only).not.toHaveProperty("cache");
    const report = reportOf(request.choices[0]!, "aborted");
    expect(report).toMatchObject({ prefillMs: 0, decodeMs: 0, completionTokens: 0 });
    expect(report.queueMs).toBeCloseTo(report.totalMs, 6);
  });
});
