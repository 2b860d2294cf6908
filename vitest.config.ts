/** @file Tests in four projects, by what they need: `npx vitest run --project gpu`. `.ci/run` names each of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { isTest, ROOT, sourceFiles } from "./tools/source-files.ts";
import { engineWorker } from "./web/build/engine-worker.ts";
import { packageAlias } from "./web/build/package-alias.ts";

/** What a test's text says of it; the first that is there counts. */
const NEEDS = {
  browser: /support\/(web-page|web-app|static-server)\.ts|findChromium/,
  // What is registered or mocked stays so for as long as its process lives, and the memory of a process is that of all that ran in it.
  alone: /^register[A-Z]|vi\.mock\(|new ResidentMemory/m,
  gpu: /support\/gpu\.ts/,
  cpu: /(?:)/,
} as const;
type Project = keyof typeof NEEDS;
const PROJECTS = Object.keys(NEEDS) as Project[];

const files = Object.fromEntries(PROJECTS.map((name) => [name, [] as string[]])) as Record<Project, string[]>;
for (const path of ["src", "test", "web"].flatMap((folder) => sourceFiles(folder, [".ts"])).filter(isTest)) {
  const text = readFileSync(join(ROOT, path), "utf8");
  files[PROJECTS.find((name) => NEEDS[name].test(text))!].push(path);
}

/** Those that take longest begin first, so that no core waits for the last of them: a GPU in software, browsers, whole models. */
class LongFirst extends BaseSequencer {
  override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(specifications);
    const rank = ({ project, moduleId }: TestSpecification): number =>
      3 * ["gpu", "browser", "alone", "cpu"].indexOf(project.name) +
      // Those of the page load its modules anew (test/leave-as-found.ts), so the others do not follow them.
      (moduleId.includes("/test/contract/")
        ? 0
        : moduleId.includes("/test/")
          ? 1
          : moduleId.includes("/web/")
            ? 2.5
            : 2);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

/** To start a process and load the modules takes longer than most files of `cpu`, and as long as many of `gpu`; in a browser as long as to open a page. */
const SHARED: Partial<Record<Project, { isolate: boolean; setupFiles: string[] }>> = {
  cpu: { isolate: false, setupFiles: ["test/leave-as-found.ts"] },
  browser: { isolate: false, setupFiles: ["test/leave-as-found.ts"] },
  gpu: { isolate: false, setupFiles: ["test/gpu-process.ts", "test/leave-as-found.ts"] },
};

export default defineConfig({
  // The page imports the package by name.
  resolve: { alias: packageAlias },
  plugins: [engineWorker("web/src/engine/worker.ts", "/src/engine/worker.ts")],
  test: {
    globalSetup: ["test/fresh-kernels.ts"],
    setupFiles: ["test/property-seed.ts", "test/equal-bytes.ts"],
    // Random checkpoints are not worth a calibration, and their folders stay as they are; tests of it ask for it.
    // Nor do tests read or write what a user keeps for the command line.
    env: {
      TURBOQUANT_CALIBRATION: "off",
      TURBOQUANT_CONFIG: "off",
      TURBOQUANT_HISTORY: "off",
      TURBOQUANT_EVAL_CACHE: "off",
    },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One more than the two cores that are common: tests wait for browsers, timers and devices.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    projects: PROJECTS.map((name) => ({
      extends: true as const,
      test: {
        ...{ name, include: files[name] },
        ...SHARED[name],
        // The page needs the kernels.
        ...(name === "browser" && { globalSetup: ["test/fresh-kernels.ts", "test/built-page.ts"] }),
      },
    })),
  },
});
