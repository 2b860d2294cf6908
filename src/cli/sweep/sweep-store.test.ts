import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkSpace } from "../../lab/space-schema.ts";
import type { StoreManifest } from "../../lab/store-format.ts";
import type { SweepRow } from "../../lab/sweep-row.ts";
import { readStore, SweepStore } from "./sweep-store.ts";

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "sweep-store-")), "store");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const manifest: StoreManifest = {
  space: checkSpace({ name: "x", parameters: { bits: [3, 4] } }, "f"),
  defaultModel: "m",
  textSha256: "ab",
  created: "2026-01-01T00:00:00.000Z",
};
const row = (id: string): SweepRow => ({
  id,
  status: "failed",
  error: "why",
  part: "all",
  parameters: {},
  model: "m",
  ctx: 64,
  chunks: 1,
  kv: "k4v4",
  date: "",
  sweepSeconds: 0,
});
const fill = (ids: readonly string[], made = manifest) => {
  const store = SweepStore.open(folder, made);
  for (const id of ids) store.add(row(id));
  store.close();
  return store;
};

describe("SweepStore", () => {
  it("keeps rows from session to session, and a table beside them", () => {
    fill(["a", "b"]);
    const again = SweepStore.open(folder, { ...manifest, created: "later" });
    expect(again.rows.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(() => SweepStore.open(folder, manifest)).toThrow(/works on/);
    again.add(row("c"));
    again.close();
    const { rows, manifest: stored } = readStore(folder);
    expect(rows.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect(stored.created).toBe(manifest.created);
    expect(readFileSync(join(folder, "results.tsv"), "utf8").split("\n")).toHaveLength(5);
    expect(existsSync(join(folder, "lock"))).toBe(false);
  });

  it("removes the rest of a line whose process was killed, and says so; reading alone changes nothing", () => {
    fill(["a"]);
    const path = join(folder, "results.jsonl");
    const { size } = statSync(path);
    appendFileSync(path, '{"id":"b","stat');
    expect(readStore(folder).rows).toHaveLength(1);
    expect(statSync(path).size).toBeGreaterThan(size);
    const store = SweepStore.open(folder, manifest);
    expect(store.notes).toEqual([expect.stringContaining("unfinished line")]);
    store.close();
    expect(statSync(path).size).toBe(size);
  });

  it("goes on with the same text from another place", () => {
    fill(["a"]);
    const moved = { ...manifest, space: { ...manifest.space, text: "elsewhere/novel.txt" } };
    const store = SweepStore.open(folder, moved);
    expect(store.rows.map(({ id }) => id)).toEqual(["a"]);
    store.close();
  });

  it("is refused to another sweep, naming what differs, and stays free", () => {
    fill(["a"]);
    const other = { ...manifest, textSha256: "cd", space: { ...manifest.space, chunks: 9 } };
    expect(() => SweepStore.open(folder, other)).toThrow(
      /belongs to another sweep: another text, another chunks; choose/,
    );
    fill(["b"]);
    // A budget may grow.
    fill(["c"], { ...manifest, space: { ...manifest.space, budget: { runs: 50 } } });
    expect(readStore(folder).rows).toHaveLength(3);
    expect(readStore(folder).manifest.space.budget).toEqual({ runs: 50 });
  });

  it("of another version is refused; so is what is no store", () => {
    fill(["a"]);
    const path = join(folder, "sweep.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"version": 3', '"version": 7'));
    expect(() => SweepStore.open(folder, manifest)).toThrow(/expected store version 3, got 7/);
    expect(() => readStore(folder)).toThrow(/expected store version 3, got 7/);
    expect(existsSync(join(folder, "lock"))).toBe(false);
    rmSync(path);
    expect(() => SweepStore.open(folder, manifest)).toThrow(/holds results\.jsonl but no sweep\.json/);
    expect(() => readStore(folder)).toThrow(/found no sweep\.json in it/);
    expect(() => readStore(join(folder, "no"))).toThrow(/does not exist/);
    expect(() => SweepStore.open(path.replace("sweep.json", "results.jsonl"), manifest)).toThrow(/cannot be written/);
  });
});
