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
  write,
} from "../../test/support/pages.ts";
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../quant/page-layout.ts";
import type { Sequence } from "./sequence.ts";

/** Everything a failed call must leave alone. */
function stateOf(fixture: Fixture, sequence: Sequence): unknown {
  return {
    length: sequence.length,
    bytes: [fixture.pool.numBytes, fixture.cache.storageBytes, fixture.pool.numPages],
    layers: fixture.cache.layers.map((_, i) => ({
      main: [...sequence.main(i).entries()],
      residual: [...sequence.residual(i).entries()],
      residualStart: sequence.residualStart(i),
    })),
  };
}

const residualPages = (sequence: Sequence, layer = 0): number[] =>
  [...sequence.residual(layer).entries()].flatMap((address, index) => (address ? [index] : []));

describe("Sequence", () => {
  it("takes a page of each layer for every 64 tokens, and counts their bytes", () => {
    const fixture = makeCache([kvFormat(0, 0), kvFormat(0, 0, "tq8")]);
    const sequence = fixture.cache.createSequence();
    const [a, b] = fixture.cache.layers.map((l) => l.main.numBytes) as [number, number];
    for (const [tokens, pages] of [
      [1, 1],
      [63, 1],
      [1, 2],
      [200, 5],
    ] as const) {
      append(fixture, sequence, range(tokens));
      expect(sequence.numBytes).toBe(pages * (a + b));
      expect(fixture.cache.numBytes).toBe(sequence.numBytes);
    }
    sequence.release();
    sequence.release();
    expect(fixture.pool.numBytes).toBe(0);
    expect(fixture.storage.numBytes).toBe(0);
  });

  it("keeps 16-bit pages of the sinks and of the window of the next query, and no others", () => {
    const [sinks, window] = [20, 40];
    const fixture = makeCache([kvFormat(sinks, window)]);
    const sequence = fixture.cache.createSequence();
    for (let length = 1; length <= 200; length++) {
      append(fixture, sequence, [length]);
      const pages = Math.ceil(length / RESIDUAL_PAGE_TOKENS);
      const needed = Array.from({ length: pages }, (_, p) => p).filter(
        (p) => p * RESIDUAL_PAGE_TOKENS < sinks || (p + 1) * RESIDUAL_PAGE_TOKENS > length - window + 1,
      );
      expect(residualPages(sequence)).toEqual(needed);
      expect(sequence.residualStart(0)).toBeLessThanOrEqual(Math.max(0, length - window + 1));
    }
  });

  it("keeps sinks alone when there is no window, and nothing for a cache of floats", () => {
    const fixture = makeCache([kvFormat(4, 0), kvFormat(4, 128, "f16")]);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(100));
    expect(residualPages(sequence, 0)).toEqual([0]);
    expect(sequence.residualStart(0)).toBe(100);
    expect(fixture.cache.layers[1]!.residual).toBeNull();
    expect(residualPages(sequence, 1)).toEqual([]);
  });

  it("gives the same pages however a prompt is cut into chunks", () => {
    const shapes = [[300], [1, 299], [64, 64, 172], [17, 100, 83, 100]].map((chunks) => {
      const fixture = makeCache([kvFormat(4, 50)]);
      const sequence = fixture.cache.createSequence();
      for (const n of chunks) append(fixture, sequence, range(n, sequence.length));
      return [residualPages(sequence), sequence.residualStart(0), sequence.numBytes];
    });
    for (const shape of shapes) expect(shape).toEqual(shapes[0]);
  });

  it("trim does not claim 16-bit copies that are gone; they come back as the window refills", () => {
    const fixture = makeCache([kvFormat(4, 32)]);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(200));
    expect(sequence.residualStart(0)).toBe(160);
    sequence.trim(190);
    expect(sequence.residualStart(0)).toBe(160);
    sequence.trim(100);
    expect(sequence.residualStart(0)).toBe(100);
    append(fixture, sequence, [7]);
    expect(sequence.residualStart(0)).toBe(100);
    expect(readMark(fixture, sequence, 0, "residual", 100)).toBe(7);
    append(fixture, sequence, range(60));
    expect(sequence.residualStart(0)).toBe(128);
    sequence.trim(2);
    expect(sequence.residualStart(0)).toBe(2);
    expect(residualPages(sequence)).toEqual([0]);
  });

  it("copies only the shared last page of each stream when a fork writes", () => {
    const fixture = makeCache([kvFormat(4, 32), kvFormat(0, 0)]);
    const a = fixture.cache.createSequence();
    append(fixture, a, range(200));
    const b = a.fork();
    const before = fixture.pool.numBytes;
    expect(fixture.storage.numCopies).toBe(0);
    append(fixture, b, [9]);
    // Position 200 lies in the fourth main page of both layers and in the thirteenth residual page of the first.
    expect(fixture.storage.numCopies).toBe(3);
    const [first, second] = fixture.cache.layers;
    expect(fixture.pool.numBytes - before).toBe(
      first!.main.numBytes + first!.residual!.layout.numBytes + second!.main.numBytes,
    );
    expect(readMark(fixture, a, 0, "main", 200)).toBe(0);
    expect(readMark(fixture, b, 0, "main", 200)).toBe(9);
    append(fixture, b, [10]);
    append(fixture, a, [11]);
    expect(fixture.storage.numCopies).toBe(3);
    expect(readMark(fixture, b, 0, "main", 200)).toBe(9);
  });

  it("says beforehand what a reservation takes, copies of shared pages included", () => {
    const { cache, pool } = makeCache([kvFormat(4, 32), kvFormat(0, 0)]);
    const sequence = cache.createSequence();
    const grow = (own: Sequence, count: number): void => {
      const [expected, before] = [own.bytesToReserve(count), pool.numBytes];
      own.reserve(count);
      expect(pool.numBytes - before).toBe(expected);
      expect(own.bytesToReserve(count)).toBe(0);
      own.commit(count);
    };
    for (const count of [1, 70, 200, 1]) grow(sequence, count);
    const fork = sequence.fork();
    expect(fork.bytesToReserve(1)).toBeGreaterThan(0);
    for (const own of [fork, sequence]) for (const count of [1, 64]) grow(own, count);
    for (const own of [fork, sequence]) own.release();
  });

  it("forks at a page's end what is committed and not what is reserved", () => {
    const { cache, pool, storage } = makeCache([kvFormat(4, 32)]);
    const sequence = cache.createSequence();
    sequence.reserve(200);
    sequence.commit(128);
    const fork = sequence.forkCommitted();
    sequence.commit(72);
    expect(fork.length).toBe(128);
    expect(fork.residualStart(0)).toBe(96);
    for (let index = 6; index < 8; index++) expect(fork.residual(0).get(index), `residual page ${index}`).not.toBe(0);
    expect(fork.main(0).length).toBe(2);
    fork.reserve(1);
    expect(storage.numCopies, "nothing is shared that is still written").toBe(0);
    for (const own of [fork, sequence]) own.release();
    expect(pool.numPages).toBe(0);
  });

  it("copies nothing when the fork starts at a page boundary", () => {
    const fixture = makeCache([kvFormat(0, 0)]);
    const a = fixture.cache.createSequence();
    append(fixture, a, range(PAGE_TOKENS));
    append(fixture, a.fork(), [1]);
    expect(fixture.storage.numCopies).toBe(0);
  });

  it("refuses more than the budget and says how much", () => {
    const page = makeCache([kvFormat(0, 0)]).cache.layers[0]!.main.numBytes;
    const fixture = makeCache([kvFormat(0, 0)], { budgetBytes: 2 * page });
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(2 * PAGE_TOKENS));
    const before = stateOf(fixture, sequence);
    expect(() => sequence.reserve(1)).toThrow(
      `KV cache: ${page} more bytes do not fit the budget of ${2 * page} bytes (${2 * page} in use); raise`,
    );
    expect(stateOf(fixture, sequence)).toEqual(before);
    expect(() => makeCache([kvFormat(0, 0)], { budgetBytes: 0 })).toThrow("expected a positive number of bytes, got 0");
    expect(() => makeCache([kvFormat(0, 0)], { budgetBytes: Number.NaN })).toThrow("got NaN");
  });

  it("is as before when the memory gives out halfway, at whichever page", () => {
    for (let allowance = 0; allowance < 40; allowance++) {
      const fixture = makeCache([kvFormat(4, 32), kvFormat(0, 16)]);
      const first = fixture.cache.createSequence();
      append(fixture, first, range(150));
      const sequence = first.fork();
      const before = stateOf(fixture, sequence);
      fixture.storage.allowance = allowance;
      // 100 tokens from 150 on: 2 main pages, and 7 residual ones, in each layer.
      const needed = 2 * (2 + 7);
      if (allowance >= needed) sequence.reserve(100);
      else {
        expect(() => sequence.reserve(100)).toThrow("device out of memory");
        expect(stateOf(fixture, sequence)).toEqual(before);
      }
      first.release();
      sequence.release();
      expect(fixture.storage.numBytes).toBe(0);
    }
  });

  it("refuses lengths that do not exist, commits of what was not reserved, and use after release", () => {
    const fixture = makeCache([kvFormat(0, 0)]);
    const sequence = fixture.cache.createSequence();
    append(fixture, sequence, range(10));
    for (const length of [-1, 11, 1.5, Number.NaN]) {
      expect(() => sequence.trim(length)).toThrow(`expected a length from 0 to 10, got ${length}`);
    }
    expect(() => sequence.commit(55)).toThrow("not reserved");
    sequence.release();
    expect(() => sequence.reserve(1)).toThrow("released");
    expect(() => sequence.fork()).toThrow("released");
    expect(() => sequence.commit(1)).toThrow("released");
  });
});

/** What a sequence must hold, kept as plain lists: the tokens, and the positions whose 16-bit copies exist. */
interface Model {
  tokens: number[];
  copies: Set<number>[];
  released: boolean;
}

type Command =
  | { type: "append"; who: number; tokens: number[]; fail: number | null }
  | { type: "fork" | "release"; who: number }
  | { type: "trim"; who: number; fraction: number };

const commands = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant("append" as const),
        who: fc.nat(5),
        tokens: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 90 }),
        fail: fc.option(fc.nat(6), { freq: 6 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("fork" as const), who: fc.nat(5) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant("trim" as const),
        who: fc.nat(5),
        fraction: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("release" as const), who: fc.nat(5) }) },
  ),
  { maxLength: 40 },
) satisfies fc.Arbitrary<Command[]>;

const FORMATS = [kvFormat(4, 24), kvFormat(20, 0), kvFormat(0, 40), kvFormat(0, 0), eightBitFormat(4, 24)];

function updateCopies(model: Model, added: number): void {
  const length = model.tokens.length;
  FORMATS.forEach(({ sinks, window }, layer) => {
    const copies = model.copies[layer]!;
    const isNeeded = (p: number): boolean => {
      const page = Math.floor(p / RESIDUAL_PAGE_TOKENS) * RESIDUAL_PAGE_TOKENS;
      return page < sinks || (window > 0 && page + RESIDUAL_PAGE_TOKENS > length - window + 1);
    };
    for (let p = length - added; p < length; p++) if (sinks + window > 0) copies.add(p);
    for (const p of copies) if (!isNeeded(p)) copies.delete(p);
  });
}

function verify(fixture: Fixture, live: readonly { model: Model; sequence: Sequence }[]): void {
  const references = new Map<string, number>();
  const memories = [...new Set(fixture.cache.layerPools)];
  for (const { model, sequence } of live) {
    const { length } = model.tokens;
    expect(sequence.length).toBe(length);
    FORMATS.forEach(({ sinks, window }, layer) => {
      const { main, residual } = fixture.cache.layers[layer]!;
      for (const [layout, table] of [
        [main, sequence.main(layer)],
        [residual?.layout, sequence.residual(layer)],
      ] as const) {
        if (!layout) continue;
        const memory = memories.indexOf(sequence.kv(layer).pool);
        for (const address of table.entries()) if (address) references.set(`${memory}/${address}`, layout.numBytes);
      }
      // All tokens have codes, or those before a window that stands alone, which has all others.
      const coded = sequence.kv(layer).codedTokens(length);
      const marks = model.tokens.map((_, p) => readMark(fixture, sequence, layer, p < coded ? "main" : "residual", p));
      expect(marks).toEqual(model.tokens);
      const pages = [...sequence.main(layer).entries()].filter((address) => address !== 0).length;
      expect(pages).toBe(Math.ceil(coded / PAGE_TOKENS));

      const copies = model.copies[layer]!;
      const residualStart = sequence.residualStart(layer);
      expect(residualStart).toBeLessThanOrEqual(length);
      for (let p = 0; p < length; p++) {
        const mark = readMark(fixture, sequence, layer, "residual", p);
        const isRead = p < sinks || (window > 0 && p >= residualStart);
        if (isRead) expect(copies.has(p)).toBe(true);
        if (copies.has(p)) expect(mark).toBe(model.tokens[p]);
      }
      // Pages without a copy that could be read are gone, but for the one that the next token shares.
      for (const index of residualPages(sequence, layer)) {
        const start = index * RESIDUAL_PAGE_TOKENS;
        const holds = [...copies].some((p) => p >= start && p < start + RESIDUAL_PAGE_TOKENS);
        expect(holds || start + RESIDUAL_PAGE_TOKENS > length).toBe(true);
      }
    });
  }
  let bytes = 0;
  for (const numBytes of references.values()) bytes += numBytes;
  expect(fixture.pool.numBytes).toBe(bytes);
  expect(fixture.pool.numPages).toBe(references.size);
  expect(fixture.cache.storageBytes).toBe(bytes);
  expect(bytes).toBeLessThanOrEqual(fixture.pool.budgetBytes);
}

describe("random interleavings", () => {
  it("of append, fork, trim and release in one or several memories: no leak, no page seen by another, budget kept, failures without trace", () => {
    // Five layers take 1,920 bytes a main page here, four of them 1,344 a residual page: some appends exceed the budget.
    fc.assert(
      fc.property(
        commands,
        fc.integer({ min: 8, max: 40 }),
        fc.integer({ min: 1, max: 3 }),
        (list, pages, memories) => {
          const fixture = makeCache(FORMATS, { budgetBytes: pages * 1000, memories });
          const all: { model: Model; sequence: Sequence }[] = [
            {
              sequence: fixture.cache.createSequence(),
              model: { tokens: [], copies: FORMATS.map(() => new Set()), released: false },
            },
          ];
          for (const command of list) {
            const live = all.filter((s) => !s.model.released);
            const target = live[command.who % Math.max(1, live.length)];
            if (!target) break;
            const { model, sequence } = target;
            if (command.type === "append") {
              const before = stateOf(fixture, sequence);
              const copies = fixture.storage.numCopies;
              fixture.storage.allowance = command.fail ?? Number.POSITIVE_INFINITY;
              try {
                sequence.reserve(command.tokens.length);
              } catch {
                expect(stateOf(fixture, sequence)).toEqual(before);
                continue;
              } finally {
                fixture.storage.allowance = Number.POSITIVE_INFINITY;
              }
              expect(fixture.storage.numCopies - copies).toBeLessThanOrEqual(FORMATS.length + 4);
              write(fixture, sequence, command.tokens);
              sequence.commit(command.tokens.length);
              model.tokens.push(...command.tokens);
              updateCopies(model, command.tokens.length);
            } else if (command.type === "fork") {
              all.push({
                sequence: sequence.fork(),
                model: { tokens: [...model.tokens], copies: model.copies.map((c) => new Set(c)), released: false },
              });
            } else if (command.type === "trim") {
              const length = Math.round(command.fraction * model.tokens.length);
              sequence.trim(length);
              model.tokens.length = length;
              for (const copies of model.copies) for (const p of copies) if (p >= length) copies.delete(p);
            } else {
              sequence.release();
              model.released = true;
            }
            verify(
              fixture,
              all.filter((s) => !s.model.released),
            );
          }
          for (const { sequence } of all) sequence.release();
          expect([fixture.pool.numBytes, fixture.pool.numPages, fixture.cache.storageBytes]).toEqual([0, 0, 0]);
        },
      ),
      { numRuns: 150, seed: 20260101 },
    );
  });
});
