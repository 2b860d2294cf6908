import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { append, type Fixture, kvFormat, makeCache, range } from "../../../test/support/pages.ts";
import { pageHashes } from "./page-hashes.ts";
import { PrefixCache } from "./prefix-cache.ts";

const numbers = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => (i * 7 + from) % 250);

/** A sequence of these tokens. */
function sequenceOf(fixture: Fixture, tokens: readonly number[]) {
  const sequence = fixture.cache.createSequence();
  sequence.reserve(tokens.length);
  sequence.commit(tokens.length);
  return sequence;
}

describe("pageHashes", () => {
  it("names whole pages, each with everything before it", () => {
    const tokens = numbers(200);
    const hashes = pageHashes(tokens);
    expect(hashes).toHaveLength(3);
    expect(pageHashes(tokens.slice(0, 191))).toEqual(hashes.slice(0, 2));
    const changed = [...tokens];
    changed[3]!++;
    expect(pageHashes(changed).some((hash, i) => hash === hashes[i])).toBe(false);
    const late = [...tokens];
    late[150]!++;
    expect(pageHashes(late).map((hash, i) => hash === hashes[i])).toEqual([true, true, false]);
    expect(pageHashes(tokens, hashes.slice(0, 1))).toEqual(hashes);
    // The same page at another place is another page.
    expect(new Set(pageHashes(Array.from({ length: 256 }, () => 5))).size).toBe(4);
  });
});

describe("PrefixCache", () => {
  const fixture = () => makeCache([kvFormat(4, 32)]);

  it("finds the longest kept beginning that leaves enough to compute", () => {
    const cache = fixture();
    const prefixes = new PrefixCache();
    const tokens = numbers(300);
    const hashes = pageHashes(tokens);
    for (const length of [64, 128, 192]) {
      const sequence = sequenceOf(cache, tokens.slice(0, length));
      prefixes.addPageEnd(sequence, hashes[length / 64 - 1]!, true);
      sequence.release();
    }
    prefixes.add(sequenceOf(cache, tokens.slice(0, 250)), tokens.slice(0, 251), hashes, true);
    const find = (length: number, minRest = 5): number =>
      prefixes.find(tokens.slice(0, length), pageHashes(tokens.slice(0, length)), minRest)?.length ?? 0;
    expect(find(300)).toBe(250);
    expect(find(255)).toBe(250);
    expect(find(254)).toBe(192);
    expect(find(251, 1)).toBe(250);
    expect(find(197)).toBe(192);
    expect(find(196)).toBe(128);
    expect(find(68)).toBe(0);
    const other = [...tokens];
    other[249]!++;
    expect(prefixes.find(other, pageHashes(other), 5)?.length).toBe(192);
    other[0]!++;
    expect(prefixes.find(other, pageHashes(other), 5)).toBeNull();
    prefixes.clear();
    expect(cache.pool.numPages).toBe(0);
  });

  it("never returns an entry that is no beginning of the prompt, nor misses the longest that is", () => {
    // Few different tokens and short tails, so that prompts often agree for a while.
    const prompt = fc
      .array(fc.integer({ min: 0, max: 1 }), { maxLength: 8 })
      .chain((tail) =>
        fc.integer({ min: 0, max: 2 }).map((pages) => [...Array.from({ length: pages * 64 }, () => 0), ...tail]),
      );
    fc.assert(
      fc.property(fc.array(prompt, { minLength: 1, maxLength: 12 }), prompt, (kept, asked) => {
        const cache = fixture();
        const prefixes = new PrefixCache();
        for (const tokens of kept) {
          if (tokens.length === 0) continue;
          prefixes.add(sequenceOf(cache, tokens), tokens, [], true);
        }
        const found = prefixes.find(asked, pageHashes(asked), 2);
        const fitting = kept.filter(
          (tokens) => tokens.length <= asked.length - 2 && tokens.every((token, i) => asked[i] === token),
        );
        expect(found?.length ?? 0).toBe(Math.max(0, ...fitting.map((tokens) => tokens.length)));
        prefixes.clear();
        expect(cache.pool.numPages).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("gives up inner page ends first, then what was not used for longest", () => {
    const cache = fixture();
    const prefixes = new PrefixCache();
    const make = (from: number, isInterior: boolean): readonly string[] => {
      const tokens = numbers(64, from);
      const hashes = pageHashes(tokens);
      const sequence = sequenceOf(cache, tokens);
      prefixes.addPageEnd(sequence, hashes[0]!, isInterior);
      sequence.release();
      return hashes;
    };
    const isKept = (from: number): boolean => {
      const tokens = [...numbers(64, from), 1, 2, 3, 4, 5];
      return prefixes.find(tokens, pageHashes(tokens), 5) !== null;
    };
    make(1, false);
    make(2, true);
    make(3, false);
    make(4, true);
    // Hit: from now on as good as a whole prompt, and fresher than 1.
    const tokens = [...numbers(64, 2), 1, 2, 3, 4, 5];
    prefixes.touch(prefixes.find(tokens, pageHashes(tokens), 5)!);
    const order: number[] = [];
    while (prefixes.size > 0) {
      const before = [1, 2, 3, 4].filter(isKept);
      prefixes.evict();
      order.push(...before.filter((from) => !isKept(from)));
    }
    expect(order).toEqual([4, 1, 3, 2]);
    expect(prefixes.evict()).toBe(false);
    expect(prefixes.evictions).toBe(4);
    expect(cache.pool.numPages).toBe(0);
  });

  it("shares pages: an entry costs its window alone", () => {
    const cache = fixture();
    const prefixes = new PrefixCache();
    const tokens = numbers(640);
    const hashes = pageHashes(tokens);
    const sequence = cache.cache.createSequence();
    for (let at = 0; at < tokens.length; at += 64) {
      append(cache, sequence, range(1, 64));
      prefixes.addPageEnd(sequence, hashes[at / 64]!, true);
    }
    const { main, residual } = cache.cache.layers[0]!;
    sequence.release();
    // Ten pages of codes once; every 16-bit page is in the window of some page end, sinks in all.
    expect(cache.pool.numBytes).toBeLessThanOrEqual(10 * main.numBytes + (640 / 16) * residual!.layout.numBytes);
    expect(prefixes.size).toBe(10);
    prefixes.clear();
    expect(cache.pool.numPages).toBe(0);
  });
});
