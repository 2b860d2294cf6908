/** @file What becomes of a measuring process that fails. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { measureInChild } from "./measure-in-child.ts";

const folder = mkdtempSync(join(tmpdir(), "measure-in-child-"));
const [, script] = process.argv;
afterAll(() => {
  process.argv[1] = script!;
  rmSync(folder, { recursive: true });
});

it("its own line about a mistake is all that is said, and a fault of it is named", async () => {
  process.argv[1] = join(folder, "command.mjs");
  writeFileSync(
    process.argv[1],
    "const [, , code] = process.argv; console.log('{\"bytes\":1}'); process.exit(Number(code));",
  );
  const { signal } = new AbortController();
  expect(await measureInChild(["0"], signal)).toEqual({ bytes: 1 });
  await expect(measureInChild(["2"], signal)).rejects.toMatchObject({ name: "CommanderError", exitCode: 2 });
  await expect(measureInChild(["1"], signal)).rejects.toThrow(/ended with exit code 1; its message is above/);
});
