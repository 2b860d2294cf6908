import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { FileEntryStore } from "./entry-store.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "turboquant-entries-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const bytes = (length: number, value: number) => new Uint8Array(length).fill(value);
const files = (): string[] => readdirSync(folder).map((name) => join(folder, name));

it("gives back what was put, to the same version of the program", async () => {
  const store = new FileEntryStore(folder, "1");
  await store.put("a", [bytes(10, 1)]);
  await store.put("b", [bytes(0, 0)]);
  await store.put("parts", [bytes(3, 1), bytes(0, 0), bytes(2, 9)]);
  expect([...(await store.get("parts"))!]).toEqual([1, 1, 1, 9, 9]);
  expect(new Uint8Array((await store.get("a"))!)).toEqual(bytes(10, 1));
  expect(await store.get("b")).toHaveLength(0);
  expect(await store.get("c")).toBeNull();
  expect(await new FileEntryStore(folder, "2").get("a")).toBeNull();
  await store.clear();
  expect(await store.get("a")).toBeNull();
});

it("damage and a cut are a miss, and the file is gone", async () => {
  const store = new FileEntryStore(folder, "1");
  for (const damage of [
    (file: Buffer) => file.subarray(0, -1),
    (file: Buffer) => file.fill(7, 40, 41),
    (file: Buffer) => file.subarray(0, 5),
    () => Buffer.alloc(0),
  ]) {
    await store.put("a", [bytes(100, 1)]);
    const [path] = files();
    writeFileSync(path!, damage(readFileSync(path!)));
    expect(await store.get("a")).toBeNull();
    expect(files()).toHaveLength(0);
  }
});

it("keeps no more than its limit, what was read last the longest", async () => {
  const store = new FileEntryStore(folder, "1", 400);
  await store.put("a", [bytes(100, 1)]);
  await store.put("b", [bytes(100, 2)]);
  const old = new Date(Date.now() - 60_000);
  for (const path of files()) utimesSync(path, old, old);
  await store.get("a");
  await store.put("c", [bytes(100, 3)]);
  await store.put("d", [bytes(100, 4)]);
  expect([await store.get("a"), await store.get("b")].map(Boolean)).toEqual([true, false]);
  await store.put("large", [bytes(500, 5)]);
  expect(await store.get("large")).toBeNull();
});

it("a folder that cannot be written costs nothing but time", async () => {
  writeFileSync(join(folder, "file"), "");
  const store = new FileEntryStore(join(folder, "file", "below"), "1");
  await store.put("a", [bytes(10, 1)]);
  expect(await store.get("a")).toBeNull();
});
