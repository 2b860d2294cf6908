/**
 * @file Makes sure that only one sweep at a time works on a store. The lock file names its process, so a stale one can be recognised.
 */
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";

export const LOCK_FILE = "lock";

interface LockOwner {
  readonly pid: number;
  readonly host: string;
  /** When the process started, by the system's count; null where it is unknown. Process ids are reused, so the id is not enough. */
  readonly began: string | null;
  /** Distinguishes two locks of one process. */
  readonly token: string;
}

export interface StoreLock {
  /** True when a process that no longer exists had left its lock behind. */
  readonly wasStale: boolean;
  release(): void;
}

/**
 * Takes the lock of a store, or replaces that of a process which has ended.
 * @throws TurboQuantError invalid_argument — another sweep works on this store
 */
export function lockStore(directory: string): StoreLock {
  const path = join(directory, LOCK_FILE);
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    began: processStart(process.pid),
    token: randomUUID(),
  };
  const own = JSON.stringify(owner);
  // The lock is written elsewhere and linked into place, so that nobody reads a partial one.
  const draft = `${path}.${owner.token}`;
  writeFileSync(draft, own);
  let wasStale = false;
  try {
    while (!tryLink(draft, path)) {
      const found = readLock(path);
      if (found === null) continue;
      if (!isGone(found)) refuse(directory, found);
      wasStale = true;
      removeStale(path, found, directory);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return {
    wasStale,
    release() {
      // Removes only our own lock: another process may have judged it stale and replaced it.
      if (readLock(path) === own) rmSync(path, { force: true });
    },
  };
}

/** Links the draft into place unless there is a lock. returns: whether it did */
function tryLink(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readLock(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Moves a stale lock away. When two processes do this at once, what each has moved shows which one was late. */
function removeStale(path: string, stale: string, directory: string): void {
  const aside = `${path}.stale.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    // Another process was faster; the next attempt to link decides.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = readFileSync(aside, "utf8");
  if (moved !== stale) {
    tryLink(aside, path);
    rmSync(aside, { force: true });
    refuse(directory, moved);
  }
  rmSync(aside, { force: true });
}

/** Whether the process of a lock has certainly ended. */
function isGone(text: string): boolean {
  const owner = parseOwner(text);
  if (!owner) return true;
  // Nothing can be said about a process of another machine.
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  const began = processStart(owner.pid);
  return owner.began !== null && began !== null && owner.began !== began;
}

function parseOwner(text: string): LockOwner | null {
  try {
    const owner = JSON.parse(text) as LockOwner;
    return Number.isInteger(owner.pid) && typeof owner.host === "string" ? owner : null;
  } catch {
    return null;
  }
}

/** Start time of a process in clock ticks since boot (Linux), or null. */
function processStart(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may contain anything, so fields are counted from its end.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

function refuse(directory: string, text: string): never {
  const owner = parseOwner(text);
  const who = owner ? `process ${owner.pid}${owner.host === hostname() ? "" : ` on ${owner.host}`}` : "another process";
  throw new TurboQuantError(
    "invalid_argument",
    `sweep: ${who} works on ${directory}; wait for it or choose another --store` +
      (owner && owner.host !== hostname() ? `, or remove ${join(directory, LOCK_FILE)} if that machine is gone` : ""),
    { directory },
  );
}
