/** @file Room for the pages of a prompt: what is announced is what the sequence then allocates. */
import { describe, expect, it } from "vitest";
import { KvCache } from "../cache/kv-cache.ts";
import { MemoryPageStorage } from "../cache/memory-storage.ts";
import { PagePool } from "../cache/page-pool.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { makeRoomForPrompt } from "./expect-pages.ts";

class Announced extends MemoryPageStorage {
  readonly room = new Map<string, number>();
  readonly most = new Map<string, number>();
  readonly #live = new Map<string, number>();
  readonly #keys = new Map<number, string>();

  makeRoom(numBytes: number, group: number, pages: number): void {
    const key = `${group}/${numBytes}`;
    this.room.set(key, (this.#live.get(key) ?? 0) + pages);
  }

  override allocate(numBytes: number, group = 0): number {
    const address = super.allocate(numBytes);
    const key = `${group}/${numBytes}`;
    this.#keys.set(address, key);
    const live = (this.#live.get(key) ?? 0) + 1;
    this.#live.set(key, live);
    this.most.set(key, Math.max(live, this.most.get(key) ?? 0));
    return address;
  }

  override release(address: number, numBytes: number): void {
    super.release(address, numBytes);
    const key = this.#keys.get(address)!;
    this.#live.set(key, this.#live.get(key)! - 1);
  }
}

function cacheOver(storage: Announced, spec: string, budget?: number): KvCache {
  const kv = parseKvSpec(spec);
  const shapes = [
    { numKvHeads: 2, headDim: 64 },
    { numKvHeads: 2, headDim: 64, slidingWindow: 100 },
  ];
  return new KvCache(shapes, (layer) => kv.forLayer(layer), new PagePool(storage, budget));
}

describe("room for a prompt", () => {
  it.each(["f16", "k4v4", "k4v4,sinks=0,window=0", "kivi-2", "tiers=8:128,4:300,3"])(
    "%s: is what its steps then hold at most",
    (spec) => {
      // After a beginning that is no whole number of steps, the steps end elsewhere, which may be a page more or less.
      for (const [before, tokens, apart] of [
        [0, 1, 0],
        [0, 1000, 0],
        [256, 700, 0],
        [70, 700, 1],
      ] as const) {
        const storage = new Announced();
        const sequence = cacheOver(storage, spec).createSequence();
        const read = (count: number): void => {
          sequence.reserve(count);
          sequence.commit(count);
        };
        if (before > 0) read(before);
        storage.most.clear();
        makeRoomForPrompt(sequence, tokens, 256);
        for (let left = tokens; left > 0; left -= 256) read(Math.min(256, left));
        for (const [key, most] of storage.most) {
          expect(Math.abs(storage.room.get(key)! - most), `${key}, from ${before}`).toBeLessThanOrEqual(apart);
        }
        sequence.release();
      }
    },
  );

  it("is not made beyond the budget", () => {
    const storage = new Announced();
    const sequence = cacheOver(storage, "f16", 1 << 16).createSequence();
    makeRoomForPrompt(sequence, 1000, 256);
    expect(storage.room.size).toBe(0);
  });
});
