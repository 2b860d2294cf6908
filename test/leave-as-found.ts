/** @file Files of a project may share a process (`isolate` in vitest.config.ts): each begins on the platform of Node and leaves the process as it found it. */
import { afterAll, expect, vi } from "vitest";
import { nodePlatform } from "../src/node/platform.ts";
import { setPlatform } from "../src/platform.ts";

// The page's modules install the browser's, and modules are loaded once.
setPlatform(nodePlatform);
// The page's stores are modules: each file begins with those of a page that was just opened.
if (expect.getState().testPath?.includes("/web/src/")) vi.resetModules();
const environment = { ...process.env };
const { exitCode } = process;

afterAll(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  expect({ ...process.env }, "environment variables that the file leaves behind").toEqual(environment);
  expect(process.exitCode, "the exit code that the file leaves behind").toBe(exitCode);
});
