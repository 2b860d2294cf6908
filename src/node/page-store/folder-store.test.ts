/** @file Pages in a folder: whole files or none, a limit of bytes, and addresses that name no store. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openFolderStore } from "./folder-store.ts";
import { openPageStore } from "./open-page-store.ts";

const KEYS = ["a", "b", "c", "d"].map((digit) => digit.repeat(64));
const { signal } = new AbortController();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "folder-store-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const bytes = (value: number, length = 10): Uint8Array => new Uint8Array(length).fill(value);

describe("a folder of pages", () => {
  it("gives what was put, also to another process, and nothing else", async () => {
    const store = openFolderStore(join(folder, "new", "folder"), { mostBytes: 1000 });
    await store.put(KEYS[0]!, bytes(1), signal);
    await store.put(KEYS[0]!, bytes(2), signal);
    const other = openFolderStore(join(folder, "new", "folder"), { mostBytes: 1000 });
    expect(await other.has(KEYS, signal)).toEqual([true, false, false, false]);
    expect(await other.get(KEYS[0]!, 10, signal)).toEqual(bytes(2));
    expect(await other.get(KEYS[0]!, 9, signal)).toBeNull();
    expect(await other.get(KEYS[1]!, 10, signal)).toBeNull();
    mkdirSync(join(folder, "new", "folder", "bb", KEYS[1]!), { recursive: true });
    expect(await other.get(KEYS[1]!, 1e9, signal)).toBeNull();
    expect(readdirSync(join(folder, "new", "folder", "aa"))).toEqual([KEYS[0]]);
  });

  it("keeps below its limit: what was used least recently goes, and what a killed process left behind", async () => {
    const store = openFolderStore(folder, { mostBytes: 35 });
    for (const [i, key] of KEYS.slice(0, 3).entries()) {
      await store.put(key, bytes(i), signal);
      await store.close();
      utimesSync(join(folder, key.slice(0, 2), key), i, i);
    }
    const left = join(folder, "aa", `.${crypto.randomUUID()}.tmp`);
    writeFileSync(left, "half");
    utimesSync(left, 0, 0);
    // Reading is use.
    await store.get(KEYS[0]!, 100, signal);
    await store.put(KEYS[3]!, bytes(3), signal);
    await store.close();
    expect(await store.has(KEYS, signal)).toEqual([true, false, true, true]);
    expect(readdirSync(join(folder, "aa"))).toEqual([KEYS[0]]);
  });

  it("is refused where it cannot be made, and so is what names no store", async () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => openFolderStore(join(folder, "file"), { mostBytes: 1 })).toThrow(/cannot be made \(EEXIST\)/);
    for (const address of ["", "folder:", "/path", "http://host", "constructor:x"]) {
      await expect(openPageStore(address, { folderBytes: 1 })).rejects.toThrow(
        /^--page-store: expected folder:PATH, redis:.* or s3:/,
      );
    }
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("");
  });
});
