/** @file Files of a project may share a process (`isolate` in vitest.config.ts), so each leaves it as it found it. */
import { afterAll, expect, vi } from "vitest";

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
