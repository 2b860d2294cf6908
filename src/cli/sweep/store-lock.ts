/** @file One sweep at a time on a store: a lock file that names its process, and outlives it without harm. */
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";

export const LOCK_FILE = "lock";

interface LockOwner {
  readonly pid: number;
  readonly host: string;
  /** When the process began, as the system counts; null where it does not say. Numbers of processes are used again. */
  readonly began: string | null;
  /** Tells two locks of one process apart. */
  readonly token: string;
}

export interface StoreLock {
  /** True when a process that is gone had left its lock behind. */
  readonly wasStale: boolean;
  release(): void;
}

/**
 * Takes the lock of a store, recovering one whose process has ended.
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
  // Linked into place when it is complete, so that nobody reads half a lock.
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
      // Only our own: somebody may have taken it for stale and put theirs there.
      if (readLock(path) === own) rmSync(path, { force: true });
    },
  };
}

/** Puts the draft in place unless there is a lock. */
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

/** Moves a stale lock away; two that do so at once see by what they moved who came second. */
function removeStale(path: string, stale: string, directory: string): void {
  const aside = `${path}.stale.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    // Someone else was faster; the next attempt to link tells the rest.
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

/** Whether the process of a lock has surely ended. */
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

/** Start time of a process in clock ticks since the system started (Linux), or null. */
function processStart(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name of the program comes second, in parentheses, and may hold anything.
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
