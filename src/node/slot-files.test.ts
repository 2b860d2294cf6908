/** @file Saved conversations on disk: whole or not there, whatever else happens in their folder. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { slotFiles } from "./slot-files.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "slot-files-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function* parts(byte: number, count = 20): AsyncGenerator<Uint8Array, void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    yield new Uint8Array(1000).fill(byte);
  }
}

it("many at once under one name: each is written whole, and the file is one of them", async () => {
  const store = slotFiles(folder);
  for (let round = 0; round < 5; round++) {
    const written = await Promise.all(Array.from({ length: 16 }, (_, i) => store.write("same", parts(i))));
    expect(new Set(written)).toEqual(new Set([20_000]));
    const bytes = await store.read("same");
    expect(bytes.length).toBe(20_000);
    expect(new Set(bytes).size).toBe(1);
  }
  expect(readdirSync(folder)).toEqual(["same"]);
});

it("a folder that was not there is made, and that is said once", () => {
  const made: string[] = [];
  const inside = join(folder, "new", "slots");
  for (let time = 0; time < 2; time++) slotFiles(inside, (first) => made.push(first));
  expect(made).toEqual([join(folder, "new")]);
  rmSync(join(folder, "new"), { recursive: true });
});

it("a save that fails leaves what was there", async () => {
  const store = slotFiles(folder);
  await store.write("kept", parts(1));
  const failing = async function* (): AsyncGenerator<Uint8Array, void> {
    yield* parts(2, 3);
    throw new Error("the device is gone");
  };
  await expect(store.write("kept", failing())).rejects.toThrow("the device is gone");
  expect(new Set(readFileSync(join(folder, "kept")))).toEqual(new Set([1]));
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

it("what a killed process left behind is removed, what another one writes is not", async () => {
  const [old, young] = [0, 1].map((i) => `.0000000${i}-0000-4000-8000-000000000000.tmp`) as [string, string];
  for (const name of [old, young, "mine.tmp"]) writeFileSync(join(folder, name), "x");
  utimesSync(join(folder, old), 1e9, 1e9);
  utimesSync(join(folder, "mine.tmp"), 1e9, 1e9);
  await slotFiles(folder).write("other", parts(1));
  const names = readdirSync(folder);
  expect(names).not.toContain(old);
  expect(names).toContain(young);
  expect(names).toContain("mine.tmp");
});

it("names that cannot be: the client's mistake", async () => {
  const store = slotFiles(folder);
  mkdirSync(join(folder, "directory"));
  symlinkSync("/etc/hostname", join(folder, "link"));
  for (const name of ["a".repeat(300), "é".repeat(130), "directory"]) {
    await expect(store.write(name, parts(1)), name).rejects.toMatchObject({ code: "invalid_argument" });
  }
  for (const name of ["a".repeat(300), "directory", "link", "nothing"]) {
    await expect(store.read(name), name).rejects.toMatchObject({ code: "invalid_argument" });
  }
});
