/** @file What the exact cache gave is kept and given again: the same rows, without its work; and evaluations that end early. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { Decoder } from "../models/decoder.ts";
import { type EvalOptions, evaluate } from "./evaluate.ts";
import type { EntryStore } from "./exact-cache.ts";
import { earlier, partOf, RunLimit } from "./time-limit.ts";

const LOADED = { kv: "f16", threads: 1, backend: "wasm" } as const;
const folder = mkdtempSync(join(tmpdir(), "turboquant-exact-"));
let llm: LLM;
beforeAll(async () => {
  writeRandomCheckpoint(folder, { num_hidden_layers: 1 });
  llm = await LLM.load(folder, LOADED);
});
afterAll(async () => {
  await llm.dispose();
  rmSync(folder, { recursive: true });
});

const CODES = "k2v2,sinks=0,window=0";

class MapStore extends Map<string, Uint8Array> implements Pick<EntryStore, "put"> {
  /** Parts of each entry that was put. */
  readonly parts: number[] = [];

  async put(key: string, parts: readonly Uint8Array[]): Promise<void> {
    this.parts.push(parts.length);
    this.set(key, Buffer.concat(parts));
  }
}
const storeOf = (map: MapStore, maxBytes = 1e6): EntryStore => ({
  maxBytes,
  get: async (key) => map.get(key) ?? null,
  put: (key, parts) => map.put(key, parts),
});

const run = async (options: Partial<EvalOptions> = {}) => {
  const rows = await evaluate(llm, { text: DEFAULT_PROMPT, kv: [CODES], ctx: 200, chunks: 2, ...options });
  return rows.map((row) => ({ ...row, seconds: 0 }));
};

describe("the exact cache's part", () => {
  it("is of models whose positions are turned alike", async () => {
    const map = new MapStore();
    const options = { text: DEFAULT_PROMPT, kv: [CODES], ctx: 200, chunks: 1, exact: storeOf(map) };
    await evaluate(llm, options);
    await using stretched = await LLM.load(folder, { ...LOADED, rope: { scaling: "yarn", scale: 4 } });
    await evaluate(stretched, options);
    expect(map.size).toBe(2);
  });

  it("is kept, and gives the same rows bit by bit without its steps", async () => {
    const plain = await run();
    const map = new MapStore();
    const steps = vi.spyOn(Decoder.prototype, "forwardToHead");
    expect(await run({ exact: storeOf(map) })).toEqual(plain);
    // Two blocks a chunk.
    expect(steps).toHaveBeenCalledTimes(4);
    expect(map.size).toBe(2);
    expect([...map.values()].map(({ length }) => length)).toEqual([4 * 200 * 32, 4 * 200 * 32]);
    steps.mockClear();
    expect(await run({ exact: storeOf(map) })).toEqual(plain);
    expect(steps).not.toHaveBeenCalled();
    // Of another format too, and not of another base or text.
    await run({ exact: storeOf(map), kv: ["k3v3"] });
    expect(steps).not.toHaveBeenCalled();
    await run({ exact: storeOf(map), base: "f32" });
    expect(steps).toHaveBeenCalledTimes(4);
    await run({ exact: storeOf(map), ctx: 199 });
    expect(steps).toHaveBeenCalledTimes(8);
    steps.mockRestore();
  });

  it("is collected block by block, and not where the store would not take it", async () => {
    const map = new MapStore();
    const plain = await run({ chunks: 1 });
    expect(await run({ exact: storeOf(map, 4 * 200 * 32), chunks: 1 })).toEqual(plain);
    expect(map.parts).toEqual([2]);
    const steps = vi.spyOn(Decoder.prototype, "forwardToHead");
    expect(await run({ exact: storeOf(new MapStore(), 4 * 200 * 32 - 1), chunks: 1 })).toEqual(plain);
    expect(steps).not.toHaveBeenCalled();
    steps.mockRestore();
  });

  it("of a size that does not fit counts as absent", async () => {
    const map = new MapStore();
    const plain = await run({ exact: storeOf(map), chunks: 1 });
    for (const [key, entry] of map) map.set(key, entry.slice(0, -4));
    expect(await run({ exact: storeOf(map), chunks: 1 })).toEqual(plain);
  });

  it("answers and continuations are kept as well", async () => {
    const map = new MapStore();
    const options: Partial<EvalOptions> = {
      ...{ ctx: 64, chunks: 1, exact: storeOf(map) },
      needleGrid: { lengths: [256], depths: [0, 1], prompts: 1 },
      greedy: { prompts: 2, tokens: 4 },
    };
    const first = await run(options);
    const prefills = vi.spyOn(Decoder.prototype, "queue");
    const again = await run(options);
    const second = prefills.mock.calls.length;
    prefills.mockClear();
    await run({ ...options, exact: storeOf(new MapStore()) });
    expect(again).toEqual(first);
    expect(second).toBeLessThan(0.7 * prefills.mock.calls.length);
    prefills.mockRestore();
  });
});

describe("a limit", () => {
  it("ends with what is known, and says how much that is", async () => {
    const limit = new RunLimit(0.001);
    const [row] = await run({ limit });
    expect(row).toMatchObject({ tokens: 128, tokensAsked: 400, chunks: 1, readPath: "packed" });
    expect(row!.kldMeanSe).toBeGreaterThan(0);
    const [whole] = await run();
    expect(row, "bits are those of a whole chunk").toMatchObject({
      bitsPerValue: whole!.bitsPerValue,
      kvBytesBase: whole!.kvBytesBase,
    });
    expect(limit.hasFigures).toBe(true);
  });

  it("by hand ends at once: with figures when there are some, else as an abort", async () => {
    const ended = new RunLimit();
    ended.end();
    await expect(run({ limit: ended })).rejects.toMatchObject({ name: "AbortError" });
    const limit = new RunLimit();
    const [row] = await run({ limit, onProgress: () => limit.hasFigures && limit.end() });
    expect(row!.tokens).toBe(128);
    expect(llm.cache.numBytes).toBe(0);
  });

  it("is shared out among parts, and can be had earlier", () => {
    const limit = new RunLimit(1000);
    expect(partOf(limit, 4).msLeft).toBeLessThanOrEqual(250);
    expect(partOf(limit, 4).msLeft).toBeGreaterThan(200);
    expect(earlier(limit, 400).msLeft).toBeLessThanOrEqual(600);
    expect([earlier(limit, 2000).isOver, limit.isOver]).toEqual([true, false]);
    expect(partOf(new RunLimit(), 3).isOver).toBe(false);
    limit.end();
    expect([partOf(limit, 1).isOver, partOf(limit, 1).isEnded, earlier(limit, 0).isEnded]).toEqual([true, true, true]);
  });
});
