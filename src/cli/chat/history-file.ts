/** @file What was said in chats on this machine, for the arrow keys of the next one. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const MOST_LINES = 1000;
/** Names another file; `off` keeps nothing. */
const VARIABLE = "TURBOQUANT_HISTORY";

/** Null where nothing is kept. */
export function historyPath(env: NodeJS.ProcessEnv = process.env): string | null {
  const named = env[VARIABLE];
  if (named === "off") return null;
  return named || join(env["XDG_STATE_HOME"] || join(homedir(), ".local/state"), "turboquant", "history");
}

/** The latest first; none where there is no file. */
export function readHistory(path: string | null): string[] {
  if (path === null) return [];
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean).slice(-MOST_LINES).reverse();
  } catch {
    return [];
  }
}

/** lines: the latest first · returns: what went wrong; null when all is well. A chat goes on without its history. */
export function writeHistory(path: string | null, lines: readonly string[]): unknown {
  if (path === null) return null;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${lines.slice(0, MOST_LINES).reverse().join("\n")}\n`, { mode: 0o600 });
    return null;
  } catch (error) {
    return error;
  }
}
