/** @file The version of the package, and the commit when it runs from a git checkout. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../node/package-root.ts";

export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")).version;
}

/** The short hash, with `-dirty` when tracked files were changed; null outside a checkout. */
export async function buildCommit(): Promise<string | null> {
  if (!existsSync(join(packageRoot(), ".git"))) return null;
  try {
    const { stdout } = await promisify(execFile)("git", ["describe", "--always", "--dirty", "--exclude=*"], {
      cwd: packageRoot(),
    });
    return stdout.trim();
  } catch {
    return null;
  }
}
