/** @file Runs the TypeScript example of the README, so that it stays true. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { bundledExample } from "./support/example.ts";
import { repoRoot } from "./support/shared.ts";

it("the README's example runs: it answers, forks and saves", async () => {
  const readme = readFileSync(join(repoRoot, "README.md"), "utf8");
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(code).toContain('from "turboquant"');
  const folder = mkdtempSync(join(tmpdir(), "readme-"));
  const file = join(folder, "example.ts");
  writeFileSync(file, code!);
  const { stdout, stderr, status } = spawnSync(process.execPath, [await bundledExample(file, folder)], {
    encoding: "utf8",
  });
  rmSync(folder, { recursive: true });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).toContain("Paris");
  const [kvBytes, fileBytes] = /(\d+) (\d+)\s*$/.exec(stdout)!.slice(1).map(Number);
  expect(kvBytes).toBeGreaterThan(0);
  expect(fileBytes).toBeGreaterThan(kvBytes!);
});
