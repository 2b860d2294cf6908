/** @file The bytes that admission counts, against those that sequences really come to have. */
import { describe, expect, it } from "vitest";
import { kvFormat, makeCache } from "../../../test/support/pages.ts";
import { KvCache } from "../../cache/kv-cache.ts";
import { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { PagePool } from "../../cache/page-pool.ts";
import { Admission } from "./admission.ts";
import type { Choice } from "./request.ts";

const SHAPE = { numKvHeads: 2, headDim: 8 };
const CACHES = {
  "codes alone": () => makeCache([kvFormat(0, 0)]),
  "sinks and a residual window": () => makeCache([kvFormat(4, 32), kvFormat(0, 0)]),
  "a window longer than a page": () => makeCache([kvFormat(20, 100)]),
  f16: () => makeCache([kvFormat(0, 0, "f16")]),
  "sliding windows": () => makeCache([kvFormat(4, 32)], { shape: { ...SHAPE, slidingWindow: 100 } }),
};
const LENGTHS = [1, 4, 16, 17, 63, 64, 65, 128, 200, 333];

/** Appends as a prompt does, then token by token as decoding does. */
function grow(sequence: ReturnType<ReturnType<typeof makeCache>["cache"]["createSequence"]>, to: number): void {
  while (sequence.length < to) {
    const count = Math.min(to - sequence.length, sequence.length < 150 ? 50 : 1);
    sequence.reserve(count);
    sequence.commit(count);
  }
}

const choice = (length: number, shared: Choice["shared"] = null): Choice =>
  ({ tokens: { length }, shared }) as unknown as Choice;

describe.each(Object.entries(CACHES))("%s", (name, makeFixture) => {
  it("a sequence never has more bytes than were counted, and no less where nothing moves", () => {
    const { cache, pool } = makeFixture();
    const admission = new Admission(cache);
    const sequence = cache.createSequence();
    for (const length of LENGTHS) {
      grow(sequence, length);
      expect(pool.numBytes, `${length} tokens`).toBeLessThanOrEqual(admission.sequenceBytes(length));
      if (name === "codes alone" || name === "f16") expect(admission.sequenceBytes(length)).toBe(pool.numBytes);
    }
  });

  it("forks of one prompt together have no more than was counted, pages they share once", () => {
    const { cache, pool } = makeFixture();
    const admission = new Admission(cache);
    const prompt = cache.createSequence();
    grow(prompt, 200);
    const owner = {};
    const forks = [prompt, prompt.fork(), prompt.fork()];
    const choices = forks.map((_, i) => choice(200, i > 0 ? { owner, tokens: 200 } : null));
    const committed = admission.committedBytes(choices);
    // They may grow by a page before the next request is let in.
    for (const fork of forks) grow(fork, 264);
    expect(pool.numBytes).toBeLessThanOrEqual(committed);
    if (name !== "sliding windows") {
      expect(committed).toBeLessThan(admission.committedBytes(forks.map(() => choice(200))));
    }
  });

  it("lets in up to the last byte of the limit, and counts what the step itself will add", () => {
    const { cache } = makeFixture();
    const running = [choice(70), choice(300)];
    const free = new Admission(cache);
    const needs = free.committedBytes(running) + free.sequenceBytes(90 + 64);
    const hasRoom = (limit: number, stepTokens: number): boolean =>
      new Admission(cache, () => limit).hasRoom(running, 90, 0, stepTokens);
    expect(hasRoom(needs, 0)).toBe(true);
    expect(hasRoom(needs - 1, 0)).toBe(false);
    expect(hasRoom(needs, 64)).toBe(name === "codes alone" || name === "f16");
  });
});

describe("states of fixed size", () => {
  const NUM_BYTES = 4096;
  const makeFixture = (): { cache: KvCache; pool: PagePool } => {
    const pool = new PagePool(new MemoryPageStorage());
    return { cache: new KvCache([{ kind: "recurrent", numBytes: NUM_BYTES }], () => kvFormat(0, 0), pool), pool };
  };

  it("exist as often as was counted while a step runs: three times where a long prompt is read on over a page end", () => {
    const most = (pieces: readonly number[]): number => {
      const { cache, pool } = makeFixture();
      const sequence = cache.createSequence();
      return Math.max(
        ...pieces.map((count) => {
          sequence.reserve(count);
          const { numBytes } = pool;
          sequence.commit(count);
          return numBytes;
        }),
      );
    };
    const counted = (toRead: number): number => new Admission(makeFixture().cache).sequenceBytes(300, toRead);
    for (const [toRead, pieces, times] of [
      [1, [1, 1, 1], 2],
      [60, [60, 1], 2],
      [300, [128, 128, 44], 3],
      [300, [200, 1], 2],
    ] as const) {
      expect(most(pieces), pieces.join("+")).toBe(times * NUM_BYTES);
      expect(most(pieces)).toBeLessThanOrEqual(counted(toRead));
    }
    expect(counted(300)).toBe(3 * NUM_BYTES);
  });

  it("keep a long prompt out until there is room for all three, alone and beside others", () => {
    const { cache } = makeFixture();
    const decoding = {
      tokens: { length: 90 },
      sequence: { length: 89 },
      shared: null,
      request: { ids: { length: 80 } },
    };
    const hasRoom = (limit: number, length: number, toRead?: number): boolean =>
      new Admission(cache, () => limit).hasRoom([decoding as unknown as Choice], length, 0, 512, toRead);
    expect([hasRoom(5 * NUM_BYTES, 300), hasRoom(5 * NUM_BYTES - 1, 300)]).toEqual([true, false]);
    // A short prompt, or a choice that comes back with its state.
    expect([hasRoom(4 * NUM_BYTES, 60), hasRoom(4 * NUM_BYTES, 300, 1)]).toEqual([true, true]);
    expect(() => new Admission(cache, () => 3 * NUM_BYTES - 1).checkAlone(300)).toThrow(`need ${3 * NUM_BYTES} bytes`);
  });
});

describe("shared pages", () => {
  it("are free for one that comes to a prompt that is running", () => {
    const { cache } = makeCache([kvFormat(0, 0)]);
    const page = new Admission(cache).sequenceBytes(1);
    const hasRoom = (limit: number, sharedTokens: number): boolean =>
      new Admission(cache, () => limit).hasRoom([], 200, sharedTokens, 0);
    // 200 tokens and a page of headroom are five pages; of 130 shared tokens two pages are whole.
    expect([hasRoom(5 * page, 0), hasRoom(5 * page - 1, 0)]).toEqual([true, false]);
    expect([hasRoom(3 * page, 130), hasRoom(3 * page - 1, 130)]).toEqual([true, false]);
  });

  it("of two prompts are counted once each", () => {
    const { cache } = makeCache([kvFormat(0, 0)]);
    const admission = new Admission(cache);
    const page = admission.sequenceBytes(1);
    const [a, b] = [{}, {}];
    const choices = [choice(128, { owner: a, tokens: 128 }), choice(128, { owner: a, tokens: 128 })];
    // Three pages each, with headroom.
    expect(admission.committedBytes(choices)).toBe(4 * page);
    expect(admission.committedBytes([...choices, choice(128, { owner: b, tokens: 64 })])).toBe(7 * page);
  });
});

describe("a prompt by itself", () => {
  it("is refused with the bytes it needs when it never fits, by the limit of the moment", () => {
    const { cache } = makeCache([kvFormat(0, 0)]);
    const page = new Admission(cache).sequenceBytes(1);
    let limit = 2 * page;
    const admission = new Admission(cache, () => limit);
    // The token after the prompt has to fit as well.
    expect(() => admission.checkAlone(127)).not.toThrow();
    expect(() => admission.checkAlone(128)).toThrow(
      `prompt: 128 tokens need ${3 * page} bytes of KV cache, the budget is ${2 * page}; shorten the prompt`,
    );
    limit = 3 * page;
    expect(() => admission.checkAlone(128)).not.toThrow();
    expect(admission.tooLong(500)).toMatchObject({ code: "out_of_memory" });
  });
});
