/** @file Reference data that a user's machine may not have: found by TQ_SHARED or beside the checkout, else skipped. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const repoRoot = fileURLToPath(new URL("../../", import.meta.url));
const root = process.env["TQ_SHARED"] ?? resolve(repoRoot, "../shared");

/** Path below the reference data, or null when it is not there. */
export function sharedPath(path: string): string | null {
  const full = resolve(root, path);
  return existsSync(full) ? full : null;
}

/** A checkpoint by name: embedded, or among the reference data; null when neither has it. */
export function checkpointPath(name: string): string | null {
  const embedded = resolve(repoRoot, "models", name);
  return existsSync(embedded) ? embedded : sharedPath(`models/${name}`);
}
