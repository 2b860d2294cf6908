/** Page storage, the pool, block tables and beams: the small parts below and above a sequence. */
import { describe, expect, it } from "vitest";
import { append, kvFormat, makeCache, range, readMark } from "../../test/support/pages.ts";
import { BlockTable } from "./block-table.ts";
import { MemoryPageStorage } from "./memory-storage.ts";
import { PagePool } from "./page-pool.ts";
import { reorderBeams } from "./reorder-beams.ts";

describe("MemoryPageStorage", () => {
  it("gives zeroed pages with addresses above 0, copies, and counts bytes", async () => {
    const storage = new MemoryPageStorage();
    const [a, b] = [storage.allocate(8), storage.allocate(8)];
    expect(Math.min(a, b)).toBeGreaterThan(0);
    expect([...storage.bytes(a)]).toEqual(Array(8).fill(0));
    storage.write(a, Uint8Array.of(1, 2, 3));
    storage.copy(a, b, 8);
    const copy = await storage.read(b, 3);
    copy[0] = 99;
    expect([...storage.bytes(b)]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
    expect(storage.numBytes).toBe(16);
    storage.release(a, 8);
    expect(storage.numBytes).toBe(8);
    expect(() => storage.bytes(a)).toThrow("not allocated");
    expect(() => storage.release(b, 4)).toThrow("released as 4 bytes, has 8");
  });
});

describe("PagePool", () => {
  it("gives a page back with its last reference", () => {
    const pool = new PagePool(new MemoryPageStorage(), 100);
    const page = pool.allocate(60);
    pool.retain(page);
    expect(pool.isShared(page)).toBe(true);
    expect(() => pool.allocate(41)).toThrow("41 more bytes do not fit the budget of 100 bytes (60 in use)");
    pool.release(page);
    expect([pool.isShared(page), pool.numBytes, pool.numPages]).toEqual([false, 60, 1]);
    pool.release(page);
    expect([pool.numBytes, pool.numPages, pool.storage.numBytes]).toEqual([0, 0, 0]);
    expect(() => pool.release(page)).toThrow("not allocated");
    pool.allocate(100);
    expect(() => pool.beside(new MemoryPageStorage()).allocate(1)).toThrow("(100 in use)");
  });
});

describe("BlockTable", () => {
  it("grows, shrinks, clones, and counts its changes", () => {
    const table = new BlockTable();
    table.set(20, 5);
    expect([table.length, table.get(20), table.get(19), table.get(21)]).toEqual([21, 5, 0, 0]);
    const copy = table.clone();
    const { version } = table;
    table.truncate(20);
    expect([table.length, table.get(20), copy.get(20)]).toEqual([20, 0, 5]);
    expect(table.version).toBeGreaterThan(version);
    table.set(21, 7);
    expect([...table.entries().slice(19)]).toEqual([0, 0, 7]);
    table.truncate(50);
    expect(table.length).toBe(22);
  });
});

describe("reorderBeams", () => {
  const setUp = () => {
    const fixture = makeCache([kvFormat(0, 16)]);
    const first = fixture.cache.createSequence();
    append(fixture, first, range(70));
    const beams = [first, first.fork(), first.fork()];
    for (const [i, beam] of beams.entries()) append(fixture, beam, [200 + i]);
    return { fixture, beams };
  };

  it("continues the parents, shares their pages and releases the rest", () => {
    const { fixture, beams } = setUp();
    const next = reorderBeams(beams, [2, 0, 2]);
    expect(next.map((beam) => readMark(fixture, beam, 0, "main", 70))).toEqual([202, 200, 202]);
    expect(() => beams[1]!.reserve(1)).toThrow("released");
    append(fixture, next[0]!, [1]);
    append(fixture, next[2]!, [2]);
    expect(next.map((beam) => readMark(fixture, beam, 0, "main", 70))).toEqual([202, 200, 202]);
    expect(readMark(fixture, next[0]!, 0, "main", 71)).toBe(1);
    for (const beam of next) beam.release();
    expect(fixture.storage.numBytes).toBe(0);
  });

  it("widens and narrows", () => {
    const { fixture, beams } = setUp();
    const wide = reorderBeams(beams, [0, 0, 0, 1, 2]);
    expect(wide).toHaveLength(5);
    const one = reorderBeams(wide, [3]);
    expect(readMark(fixture, one[0]!, 0, "main", 70)).toBe(201);
    expect(fixture.pool.numBytes).toBe(one[0]!.numBytes);
  });

  it("refuses a parent that does not exist and changes nothing", () => {
    const { fixture, beams } = setUp();
    const { numBytes } = fixture.pool;
    expect(() => reorderBeams(beams, [0, 0, 3])).toThrow("reorderBeams: expected parents from 0 to 2, got 3");
    expect(fixture.pool.numBytes).toBe(numBytes);
    for (const beam of beams) beam.release();
    expect(fixture.pool.numBytes).toBe(0);
  });
});
