/** @file Lets one process at a time download a file, so that two that want the same do not load it twice. */
import { mkdir, open, readFile, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The owner touches its lock this often; one that was not touched for six times as long has lost its owner. */
const TOUCH_MS = 5_000;
const ABANDONED_MS = 30_000;
const LOOK_AGAIN_MS = 250;

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once, when another process has the lock. */
  readonly onBusy?: ((owner: string) => void) | undefined;
}

/**
 * Calls `use` when no other process of any machine holds the lock. A crashed owner's lock is taken over. It saves work and is not
 * what keeps files whole: two owners at once would write the same bytes at the same places.
 */
export async function withDownloadLock<T>(path: string, options: LockOptions, use: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  let isBusy = false;
  while (!(await take(path))) {
    const owner = await readFile(path, "utf8").catch(() => "");
    if (await isAbandoned(path, owner)) {
      await rm(path, { force: true });
      continue;
    }
    if (!isBusy) options.onBusy?.(owner.trim());
    isBusy = true;
    await sleep(LOOK_AGAIN_MS, undefined, options.signal ? { signal: options.signal } : {});
  }
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, TOUCH_MS);
  touch.unref();
  try {
    return await use();
  } finally {
    clearInterval(touch);
    await rm(path, { force: true });
  }
}

/** Whether a process that lives has the lock. */
export async function isLocked(path: string): Promise<boolean> {
  const owner = await readFile(path, "utf8").catch(() => null);
  return owner !== null && !(await isAbandoned(path, owner));
}

async function take(path: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(`process ${process.pid} of ${hostname()}\n`);
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isAbandoned(path: string, owner: string): Promise<boolean> {
  const touched = (await stat(path).catch(() => null))?.mtimeMs;
  // Given back in the meantime.
  if (touched === undefined) return false;
  if (Date.now() - touched > ABANDONED_MS) return true;
  const [, pid, host] = /^process (\d+) of (.*)$/.exec(owner.trim()) ?? [];
  if (pid === undefined || host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
