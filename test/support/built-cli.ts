/**
 * @file The command line as users have it, built as for the package: a process of it starts in a third of the time that it
 * takes to compile the sources on the way.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { build } from "tsdown";
import config from "../../tsdown.config.ts";
import { repoRoot } from "./shared.ts";

export interface BuiltCli {
  /** The script to run with Node. */
  readonly main: string;
  dispose(): void;
}

export async function buildCli(): Promise<BuiltCli> {
  // Inside the repository, where its dependencies are found.
  const cache = join(repoRoot, ".cache");
  await mkdir(cache, { recursive: true });
  const outDir = mkdtempSync(join(cache, "cli-"));
  await build({ ...config, config: false, cwd: repoRoot, outDir, dts: false, sourcemap: false });
  return { main: join(outDir, "cli/main.js"), dispose: () => rmSync(outDir, { recursive: true, force: true }) };
}
