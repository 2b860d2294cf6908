import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  append,
  eightBitFormat,
  type Fixture,
  kvFormat,
  makeCache,
  range,
  readMark,
  tieredFormat,
} from "../../../test/support/pages.ts";
import type { Sequence } from "../sequence.ts";
import { restoreSequence, saveSequence } from "../snapshot.ts";
import { nextLength, pagesInTier } from "./tiers.ts";

const FORMATS = [
  tieredFormat(eightBitFormat(4, 24), 70, 200),
  tieredFormat(kvFormat(4, 24), 24, 25),
  tieredFormat(kvFormat(0, 0), 1, 130),
];
const IDENTITY = { fingerprint: "ab".repeat(32), kvSpec: "tiers=8:24,4:46,3:130,2" };

/** Each row is in the tier that the rule says, and in no other, and says which token it is of. */
function verify(fixture: Fixture, sequence: Sequence, tokens: readonly number[]): void {
  expect(sequence.length).toBe(tokens.length);
  fixture.cache.layers.forEach(({ tiers, main }, layer) => {
    const coded = sequence.kv(layer).codedTokens(tokens.length);
    const ends = tiers.map((tier) => pagesInTier(tier, tokens.length) * main.pageTokens);
    const streams = ["main", ...tiers.keys()] as const;
    for (let p = 0; p < coded; p++) {
      const own = ends.filter((end) => p < end).length;
      const marks = streams.map((stream) => readMark(fixture, sequence, layer, stream, p));
      expect(marks).toEqual(streams.map((_, at) => (at === own ? tokens[p] : null)));
    }
  });
}

describe("tiers", () => {
  it("take a page when all of its tokens are old enough", () => {
    const [{ tiers }] = makeCache([FORMATS[0]!]).cache.layers as [Fixture["cache"]["layers"][number]];
    const [threes, twos] = tiers;
    expect([133, 134, 197, 198].map((length) => pagesInTier(threes!, length))).toEqual([0, 1, 1, 2]);
    expect([263, 264, 328].map((length) => pagesInTier(twos!, length))).toEqual([0, 1, 2]);
    expect([0, 133, 134].map((length) => nextLength(threes!, length))).toEqual([134, 134, 198]);
  });

  it("are smaller the older a sequence is, and the finer page is given back", () => {
    const fixture = makeCache([tieredFormat(kvFormat(0, 0), 64, 128)]);
    const sequence = fixture.cache.createSequence();
    const [layer] = fixture.cache.layers;
    const sizes = [layer!.main, ...layer!.tiers.map(({ layout }) => layout)].map(({ numBytes }) => numBytes);
    append(fixture, sequence, range(199));
    // Of 199 tokens the first 64 are in 2 bits, the next in 3, and 64 + 7 are still in 4.
    expect(fixture.pool.numBytes).toBe(2 * sizes[0]! + sizes[1]! + sizes[2]!);
    expect(sequence.numBytes).toBe(fixture.pool.numBytes);
    sequence.release();
    expect(fixture.pool.numPages).toBe(0);
  });

  it("are not disturbed by a fork: each codes shared pages anew for itself", () => {
    const fixture = makeCache(FORMATS);
    const sequence = fixture.cache.createSequence();
    const tokens = range(120);
    append(fixture, sequence, tokens);
    const fork = sequence.fork();
    append(fixture, sequence, range(200));
    verify(fixture, fork, tokens);
    append(fixture, fork, range(180, 50));
    verify(fixture, sequence, [...tokens, ...range(200)]);
    verify(fixture, fork, [...tokens, ...range(180, 50)]);
    for (const each of [sequence, fork]) each.release();
    expect(fixture.pool.numPages).toBe(0);
  });

  it("are what a mark goes back to, with the finer pages of then; without one a cut reads again", () => {
    for (const isMarked of [true, false]) {
      const fixture = makeCache(FORMATS);
      const sequence = fixture.cache.createSequence();
      const tokens = range(240);
      append(fixture, sequence, tokens);
      if (isMarked) sequence.mark();
      append(fixture, sequence, range(150));
      const kept = sequence.cutTo(tokens.length);
      expect(kept).toBe(isMarked ? tokens.length : 0);
      verify(fixture, sequence, tokens.slice(0, kept));
      append(fixture, sequence, range(100, 99));
      verify(fixture, sequence, [...tokens.slice(0, kept), ...range(100, 99)]);
      sequence.release();
      expect(fixture.pool.numPages).toBe(0);
    }
  });

  it("grow coarser for want of memory in the middle of a step that has reserved pages for their age, which are given back", () => {
    const fixture = makeCache(FORMATS);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(133));
    const states = FORMATS.map((_, layer) => sequence.kv(layer));
    // A step is about to move a page by its age when memory is short for another sequence.
    sequence.reserve(130);
    for (const state of states) {
      const { first, end } = state.coarsenable(0, 0);
      for (let page = first; page < end; page++) state.coarsen(0, () => {}, new Map());
    }
    sequence.dropReserved();
    expect(sequence.numBytes).toBe(fixture.pool.numBytes);
    expect(states.map((state) => state.tierPages(0, 133))).toEqual([1, 2, 2]);
    sequence.release();
    expect(fixture.pool.numPages).toBe(0);
  });

  it("take no more tokens into a page that has grown coarser", () => {
    const fixture = makeCache(FORMATS);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(240));
    expect(() => sequence.trim(70)).toThrow("trim: 70 is within pages that have grown coarser");
    sequence.trim(238);
    expect(sequence.length).toBe(238);
    sequence.release();
  });

  it("refuse a file whose pages are finer than they may be, or of other sizes", async () => {
    const fixture = makeCache([FORMATS[0]!]);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(240));
    const [slot] = fixture.cache.slots;
    const description = sequence.states[0]!.describe();
    expect(slot!.mismatch(description, 240)).toBeNull();
    expect(slot!.mismatch({ ...description, tierPages: [1, 0] }, 240)).toMatchObject({
      name: "tierPages",
      want: "2,0",
    });
    expect(slot!.mismatch({ ...description, tierPageBytes: [1, 2] }, 240)).toMatchObject({ name: "tierPageBytes" });
    const file = await saveSequence(sequence, IDENTITY);
    const other = makeCache([eightBitFormat(4, 24)]);
    expect(() => restoreSequence(other.cache, file, IDENTITY)).toThrow("expected tierPageBytes");
    expect(other.pool.numPages).toBe(0);
  });

  it("hold through any appends, forks, cuts, marks and restores", async () => {
    const commands = fc.array(
      fc.oneof(
        fc.record({ type: fc.constant("append" as const), count: fc.integer({ min: 1, max: 150 }) }),
        fc.record({ type: fc.constantFrom("fork", "mark", "restore"), count: fc.constant(0) }),
        fc.record({ type: fc.constant("cut" as const), count: fc.integer({ min: 0, max: 120 }) }),
      ),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(commands, async (list) => {
        const fixture = makeCache(FORMATS);
        const all = [{ sequence: fixture.cache.createSequence(), tokens: [] as number[] }];
        for (const [step, { type, count }] of list.entries()) {
          const own = all[step % all.length]!;
          const { sequence, tokens } = own;
          if (type === "append") {
            const added = Array.from({ length: count }, (_, i) => 1 + ((step * 31 + i) % 255));
            append(fixture, sequence, added);
            tokens.push(...added);
          } else if (type === "fork") all.push({ sequence: sequence.fork(), tokens: [...tokens] });
          else if (type === "mark") sequence.mark();
          else if (type === "cut") tokens.length = sequence.cutTo(Math.max(0, tokens.length - count));
          else {
            const file = await saveSequence(sequence, IDENTITY);
            own.sequence = restoreSequence(fixture.cache, file, IDENTITY).sequence;
            sequence.release();
            expect(await saveSequence(own.sequence, IDENTITY)).toEqual(file);
          }
          for (const each of all) verify(fixture, each.sequence, each.tokens);
        }
        for (const each of all) each.sequence.release();
        expect([fixture.pool.numBytes, fixture.pool.numPages]).toEqual([0, 0]);
      }),
      { numRuns: 40, seed: 20260201 },
    );
  });
});
