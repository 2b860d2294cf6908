/** @file Tests in three projects, by what they need: `npx vitest run --project gpu`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { isTest, ROOT, sourceFiles } from "./tools/source-files.ts";
import { packageAlias } from "./web/build/package-alias.ts";

/** What a test imports says what it needs. */
const NEEDS = {
  browser: /support\/(web-page|web-app|static-server)\.ts|findChromium/,
  gpu: /support\/gpu\.ts/,
} as const;

const files: Record<"cpu" | "gpu" | "browser", string[]> = { cpu: [], gpu: [], browser: [] };
for (const path of ["src", "test", "web"].flatMap((folder) => sourceFiles(folder, [".ts"])).filter(isTest)) {
  const text = readFileSync(join(ROOT, path), "utf8");
  files[NEEDS.browser.test(text) ? "browser" : NEEDS.gpu.test(text) ? "gpu" : "cpu"].push(path);
}

/** Those that take minutes on a GPU in software begin first, so that no core waits for the last of them. */
class LongFirst extends BaseSequencer {
  override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(specifications);
    const rank = ({ project, moduleId }: TestSpecification): number =>
      2 * ["gpu", "browser", "cpu"].indexOf(project.name) + (moduleId.includes("/test/contract/") ? 0 : 1);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  // The page imports the package by name.
  resolve: { alias: packageAlias },
  test: {
    globalSetup: ["test/fresh-kernels.ts"],
    setupFiles: ["test/property-seed.ts"],
    // Random checkpoints are not worth a calibration, and their folders stay as they are; tests of it ask for it.
    env: { TURBOQUANT_CALIBRATION: "off" },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One more than the two cores that are common: tests wait for browsers, timers and devices.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    projects: Object.entries(files).map(([name, include]) => ({ extends: true as const, test: { name, include } })),
  },
});
