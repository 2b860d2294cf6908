import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LOCK_FILE, lockStore } from "./store-lock.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "store-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const path = () => join(folder, LOCK_FILE);
/** A lock as this process would make it, changed. */
const ownLock = (changes: object) => {
  rmSync(path(), { force: true });
  const lock = lockStore(folder);
  const owner = JSON.parse(readFileSync(path(), "utf8"));
  lock.release();
  writeFileSync(path(), JSON.stringify({ ...owner, ...changes }));
};

describe("lockStore", () => {
  it("gives a store to one at a time, with an error that names the process", () => {
    const lock = lockStore(folder);
    expect(lock.wasStale).toBe(false);
    expect(() => lockStore(folder)).toThrow(new RegExp(`process ${process.pid} works on .*choose another --store`));
    lock.release();
    expect(existsSync(path())).toBe(false);
    lockStore(folder).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("takes over the lock of a process that has ended", () => {
    const { pid } = spawnSync(process.execPath, ["-e", "0"]);
    ownLock({ pid });
    const lock = lockStore(folder);
    expect(lock.wasStale).toBe(true);
    expect(JSON.parse(readFileSync(path(), "utf8")).pid).toBe(process.pid);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("does not take over that of a live process, nor one of another machine", () => {
    const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]);
    try {
      ownLock({ pid: child.pid, began: null });
      expect(() => lockStore(folder)).toThrow(new RegExp(`process ${child.pid} works on`));
    } finally {
      child.kill("SIGKILL");
    }
    ownLock({ pid: 1, host: "elsewhere" });
    expect(() => lockStore(folder)).toThrow(/process 1 on elsewhere works on .*remove .*lock if that machine is gone/);
  });

  it.runIf(existsSync("/proc/self/stat"))("knows that a number of a process is used again", () => {
    ownLock({ pid: process.pid, began: "1", token: "another" });
    const lock = lockStore(folder);
    expect(lock.wasStale).toBe(true);
    lock.release();
  });

  it("takes over half a lock, and releases no lock but its own", () => {
    writeFileSync(path(), '{"pid": 12');
    const lock = lockStore(folder);
    expect(lock.wasStale).toBe(true);
    writeFileSync(path(), "somebody else's");
    lock.release();
    expect(readFileSync(path(), "utf8")).toBe("somebody else's");
  });
});
