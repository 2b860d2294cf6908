/** @file What a listener is told adds up to the pages that the prefix cache holds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kvFormat, makeCache } from "../../../test/support/pages.ts";
import type { PageEvent } from "./kept-pages.ts";
import { pageHashes, saltedRoot } from "./page-hashes.ts";
import { PrefixCache } from "./prefix-cache.ts";

/** Follows events as a router does, and refuses what a server must not say. */
class Follower {
  readonly parents = new Map<string, string | null>();
  readonly tokens = new Map<string, readonly number[]>();

  take(event: PageEvent): void {
    if (event.kind === "cleared") this.parents.clear();
    if (event.kind === "removed") {
      for (const hash of event.hashes) expect(this.parents.delete(hash), "it was there").toBe(true);
    }
    if (event.kind !== "stored") return;
    let { parent } = event;
    expect(event.tokens).toHaveLength(64 * event.hashes.length);
    for (const [i, hash] of event.hashes.entries()) {
      expect(parent === null || this.parents.has(parent), "the page before is there").toBe(true);
      expect(this.parents.has(hash), "it was not there").toBe(false);
      this.parents.set(hash, parent);
      this.tokens.set(hash, event.tokens.slice(i * 64, (i + 1) * 64));
      parent = hash;
    }
  }
}

const follow = (owners: readonly string[] = [""]) => {
  const follower = new Follower();
  const listener = { owners, onPages: (event: PageEvent) => follower.take(event) };
  return { follower, prefixes: new PrefixCache(listener) };
};

describe("KeptPages", () => {
  it("tells of exactly the pages of all that prompts can find, whatever is kept, evicted and removed", () => {
    // Prompts of few different pages agree for a while and part; some end between pages.
    const prompt = fc
      .tuple(fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 4 }), fc.integer({ min: 0, max: 3 }))
      .map(([pages, tail]) => [
        ...pages.flatMap((kind) => Array.from({ length: 64 }, () => kind)),
        ...Array(tail).fill(7),
      ]);
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("keep" as const), prompt, isFindable: fc.boolean() }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("read" as const), prompt }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("evict" as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const) }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
        const { cache } = makeCache([kvFormat(4, 32)]);
        const { follower, prefixes } = follow();
        /** Pages of entries that are live, by what was asked for. */
        const live: { entry: { readonly isLive: boolean }; pages: readonly string[] }[] = [];
        const sequenceOf = (length: number) => {
          const sequence = cache.createSequence();
          sequence.reserve(length);
          sequence.commit(length);
          return sequence;
        };
        for (const each of actions) {
          if (each.kind === "clear") prefixes.clear();
          if (each.kind === "evict") prefixes.evict();
          if (each.kind === "keep" && each.prompt.length > 0) {
            const { prompt: ids, isFindable } = each;
            const entry = prefixes.add(sequenceOf(ids.length), ids, [], isFindable);
            if (isFindable) live.push({ entry, pages: pageHashes(ids) });
          }
          if (each.kind === "read") {
            const { prompt: ids } = each;
            const hashes = pageHashes(ids);
            for (let pages = 1; pages <= hashes.length; pages++) {
              const sequence = sequenceOf(pages * 64);
              prefixes.addPageEnd(sequence, hashes[pages - 1]!, pages < hashes.length, { ids, hashes, root: "" });
              sequence.release();
              const entry = prefixes.find([...ids.slice(0, pages * 64), 9], hashes.slice(0, pages), 1)!;
              live.push({ entry, pages: hashes.slice(0, pages) });
            }
          }
          const expected = new Set(live.filter(({ entry }) => entry.isLive).flatMap(({ pages }) => pages));
          expect(new Set(follower.parents.keys())).toEqual(expected);
        }
        prefixes.clear();
        expect(follower.parents.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("tells of the owners' pages alone", () => {
    const { cache } = makeCache([kvFormat(4, 32)]);
    const { follower, prefixes } = follow(["key"]);
    const ids = Array.from({ length: 130 }, (_, i) => i);
    const keep = (owner: string): void => {
      const sequence = cache.createSequence();
      sequence.reserve(128);
      sequence.commit(128);
      prefixes.add(sequence, ids, [], true, saltedRoot(owner));
    };
    keep("");
    keep("other key");
    keep('["key","salt"]');
    expect(follower.parents.size).toBe(0);
    keep("key");
    expect([...follower.parents.keys()]).toEqual(pageHashes(ids, [], saltedRoot("key")));
    expect([...follower.tokens.values()].flat()).toEqual(ids.slice(0, 128));
    prefixes.clear();
  });
});
