/** @file Keys and values of a layer with a sliding window: what is given back, and how far a cut can go. */
import { describe, expect, it } from "vitest";
import { append, kvFormat, makeCache, range, readMark } from "../../../test/support/pages.ts";
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { Sequence } from "../sequence.ts";
import type { KvState } from "./kv-state.ts";

describe("a layer with a sliding window", () => {
  const SLIDING = 150;
  const make = () =>
    makeCache([kvFormat(4, 32), kvFormat(0, 0)], { shape: { numKvHeads: 2, headDim: 8, slidingWindow: SLIDING } });
  const pagesOf = (sequence: Sequence, stream: "main" | "residual"): number[] =>
    [...sequence[stream](0).entries()].flatMap((address, index) => (address ? [index] : []));

  it("gives back what no query to come can reach, and nothing else", () => {
    const fixture = make();
    const sequence = fixture.cache.createSequence();
    for (let length = 1; length <= 400; length++) {
      append(fixture, sequence, [length % 250]);
      const first = Math.max(0, length - SLIDING + 1);
      const pages = Array.from({ length: Math.ceil(length / PAGE_TOKENS) }, (_, p) => p);
      expect(pagesOf(sequence, "main")).toEqual(pages.filter((p) => (p + 1) * PAGE_TOKENS > first));
      const sinkPageStays = RESIDUAL_PAGE_TOKENS > first;
      expect(pagesOf(sequence, "residual").includes(0)).toBe(sinkPageStays);
      expect(sequence.numBytes).toBe(fixture.pool.numBytes);
      // Its memory does not grow beyond the window and a page.
      expect(pagesOf(sequence, "main").length).toBeLessThanOrEqual(Math.ceil(SLIDING / PAGE_TOKENS) + 1);
    }
    sequence.release();
    expect(fixture.pool.numPages).toBe(0);
  });

  it("can be cut as far as its pages reach, and to a mark", () => {
    const fixture = make();
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(500));
    sequence.mark();
    append(fixture, sequence, range(300));
    expect(sequence.keepable(799)).toBe(799);
    expect(sequence.keepable(700), "the copies of its window are gone").toBe(500);
    expect(sequence.keepable(499), "nothing was marked before").toBe(0);
    const copy = sequence.fork();
    const { numBytes } = fixture.pool;
    expect(copy.cutTo(600)).toBe(500);
    expect(readMark(fixture, copy, 0, "main", 499)).toBe((499 % 255) + 1);
    expect(readMark(fixture, copy, 0, "residual", 499)).toBe((499 % 255) + 1);
    expect(fixture.pool.numBytes).toBe(numBytes);
    copy.release();
    expect(sequence.cutTo(100)).toBe(0);
    sequence.release();
    expect(fixture.pool.numPages).toBe(0);
  });
});

it("looks for shared pages again after a fork, a mark and a step that is dropped, however often it has looked before", () => {
  const fixture = makeCache([kvFormat(4, 32)], { shape: { numKvHeads: 1, headDim: 8 } });
  const sequence = fixture.cache.createSequence();
  append(fixture, sequence, range(70));
  const missing = (tokens = 1): number => sequence.kv(0).missingPages(tokens).length;
  for (const _ of [1, 2]) expect(missing(), "a token has room in both pages").toBe(0);
  expect(missing(20), "the next page of copies").toBe(1);
  const copy = sequence.fork();
  expect(missing(), "both pages are shared").toBe(2);
  append(fixture, sequence, [1]);
  expect([missing(), copy.kv(0).missingPages(1).length]).toEqual([0, 0]);
  sequence.mark();
  expect(missing(), "the mark keeps the copies that a later cut needs").toBe(1);
  append(fixture, sequence, [2]);
  expect(missing()).toBe(0);
  sequence.reserve(20);
  for (const _ of [1, 2]) expect(missing(20)).toBe(0);
  sequence.dropReserved();
  expect(missing(20), "pages that were reserved are given back").toBe(1);
  copy.release();
  sequence.release();
  expect(fixture.pool.numPages).toBe(0);
});

it("says that values have another width than keys, and nothing where they have the same", () => {
  const describe = (valueDim?: number) => {
    const shape = { numKvHeads: 1, headDim: 16, ...(valueDim && { valueDim }) };
    const [slot] = makeCache([kvFormat(4, 16)], { shape }).cache.slots;
    return { slot: slot!, description: (slot!.create() as KvState).describe() };
  };
  const [wide, narrow] = [describe(), describe(8)];
  expect(wide.description).toEqual(describe(16).description);
  expect(wide.description).not.toHaveProperty("valueDim");
  expect(narrow.description).toMatchObject({ headDim: 16, valueDim: 8 });
  expect(narrow.slot.mismatch(wide.description, 0)).toMatchObject({ name: "valueDim", want: 8, got: undefined });
  expect(narrow.slot.mismatch(narrow.description, 0)).toBeNull();
});
