/** @file A checkpoint of random weights for the tests of a file that run commands. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { writeRandomCheckpoint } from "./fake-checkpoint.ts";

/** Written before the first test and removed after the last, with all else in the folder. fields: of its config, in place of its own · args: the model as a command takes it */
export function randomModel(fields: object = {}): { readonly folder: string; readonly args: readonly string[] } {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-cli-"));
  const model = join(folder, "model");
  beforeAll(() => writeRandomCheckpoint(model, fields));
  afterAll(() => rmSync(folder, { recursive: true }));
  return { folder, args: ["-m", model, "-t", "1"] };
}
