import { describe, expect, it } from "vitest";
import { resultsTsv } from "./results-table.ts";
import { checkSpace } from "./space-schema.ts";
import { isSameSweep, readManifest, readRows, type StoreManifest, writeManifest } from "./store-format.ts";
import { latestRows, type SweepRow } from "./sweep-row.ts";

const manifest: StoreManifest = {
  space: checkSpace({ name: "x", parameters: { bits: [3, 4] }, budget: { runs: 5 } }, "f"),
  defaultModel: "qwen3-1m",
  textSha256: null,
  created: "2026-01-01T00:00:00.000Z",
};
const failed = (id: string, error = "why"): SweepRow => ({
  id,
  status: "failed",
  error,
  part: "all",
  parameters: { bits: 4, qjl: false },
  model: "m",
  ctx: 64,
  chunks: 1,
  kv: "k4v4",
  date: "2026-01-01T00:00:00.000Z",
  sweepSeconds: 1,
});
const bytes = (text: string) => new TextEncoder().encode(text);
const line = (row: SweepRow) => `${JSON.stringify(row)}\n`;

describe("sweep.json", () => {
  it("is read as it was written", () => {
    expect(readManifest(writeManifest(manifest), "p")).toEqual(manifest);
  });

  it("of another version, another kind or damaged is refused with what to do", () => {
    const text = writeManifest(manifest);
    expect(() => readManifest(text.replace('"version": 3', '"version": 2'), "s/sweep.json")).toThrow(
      /^s\/sweep\.json: expected store version 3, got 2; read it with the turboquant that made it/,
    );
    expect(() => readManifest('{"format":"other"}', "p")).toThrow(/expected the store of a sweep/);
    expect(() => readManifest("null", "p")).toThrow(/expected the store of a sweep/);
    expect(() => readManifest(text.slice(0, 40), "p")).toThrow(/does not parse; restore it/);
  });

  it("two sweeps are the same whatever their budget, and not when anything else differs", () => {
    const more = { ...manifest, space: { ...manifest.space, budget: { minutes: 1 } } };
    expect(isSameSweep(manifest, more)).toBe(true);
    expect(isSameSweep(manifest, { ...manifest, textSha256: "ab" })).toBe(false);
    expect(isSameSweep(manifest, { ...manifest, space: { ...manifest.space, chunks: 9 } })).toBe(false);
  });
});

describe("results.jsonl", () => {
  it("a line that was being written counts for nothing, wherever it was cut", () => {
    const whole = line(failed("a")) + line(failed("b"));
    const last = line(failed("c"));
    for (let cut = 0; cut < last.length; cut++) {
      const { rows, goodBytes } = readRows(bytes(whole + last.slice(0, cut)), "p");
      expect(rows.map(({ id }) => id)).toEqual(["a", "b"]);
      expect(goodBytes).toBe(bytes(whole).length);
    }
    expect(readRows(bytes(whole + last), "p").rows).toHaveLength(3);
    expect(readRows(bytes(line(failed("ä", "größer"))), "p").goodBytes).toBeGreaterThan(0);
  });

  it("a damaged line in between is said with its number", () => {
    for (const damaged of ['{"id": 3}', '{"id":"a","status":"done"}', '{"id":"a","status":"done","parameters":null}']) {
      const text = `${line(failed("a"))}${damaged}\n${line(failed("b"))}`;
      expect(() => readRows(bytes(text), "s/results.jsonl")).toThrow(/^s\/results\.jsonl: expected a run on line 2/);
    }
  });

  it("the last row of a run counts", () => {
    const rows = latestRows([failed("a", "first"), failed("b"), failed("a", "second")]);
    expect(rows.map(({ id, ...row }) => [id, "error" in row && row.error])).toEqual([
      ["a", "second"],
      ["b", "why"],
    ]);
  });
});

it("results.tsv has a column for each figure and parameter, and no cell breaks the table", () => {
  const [head, ...rows] = resultsTsv([failed("a", "two\tlines\nof it"), failed("b")])
    .trim()
    .split("\n");
  const columns = head!.split("\t");
  expect(columns.slice(0, 5)).toEqual(["id", "status", "part", "model", "kv"]);
  expect(columns).toContain("p_bits");
  for (const row of rows) expect(row.split("\t")).toHaveLength(columns.length);
  expect(rows[0]!.split("\t")[columns.indexOf("error")]).toBe("two lines of it");
  expect(rows[0]!.split("\t")[columns.indexOf("p_qjl")]).toBe("false");
});
