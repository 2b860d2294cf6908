/** @file Runs the TypeScript example of the README, so that it stays true. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { repoRoot } from "./support/shared.ts";

it("the README's example runs: it answers, forks and saves", () => {
  const readme = readFileSync(join(repoRoot, "README.md"), "utf8");
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(code).toContain('from "turboquant"');
  const folder = mkdtempSync(join(tmpdir(), "readme-"));
  const file = join(folder, "example.mts");
  const entry = pathToFileURL(join(repoRoot, "src/node/index.ts")).href;
  writeFileSync(file, code!.replace('"turboquant"', JSON.stringify(entry)));
  const tsx = pathToFileURL(join(repoRoot, "node_modules/tsx/dist/loader.mjs")).href;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", tsx, file], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).toContain("Paris");
  const [kvBytes, fileBytes] = /(\d+) (\d+)\s*$/.exec(stdout)!.slice(1).map(Number);
  expect(kvBytes).toBeGreaterThan(0);
  expect(fileBytes).toBeGreaterThan(kvBytes!);
});
