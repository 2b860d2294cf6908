/** @file Results that cannot be written in the end are printed all the same, and one line says what failed. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";
import { familyRows } from "../../test/support/report-rows.ts";
import { DEFAULT_PROMPT } from "./default-prompt.ts";

const model = randomModel();
const text = join(model.folder, "story.txt");
const rows = join(model.folder, "rows.jsonl");
const CASES: readonly (readonly [command: string, options: readonly string[], result: RegExp])[] = [
  ["eval", ["--text", text, "-c", "64", "--chunks", "1"], /^\| kv +\| bits\/value .*\n.*\n\| f16 /],
  ["bench", ["-p", "4", "-n", "0", "-r", "1", "--kv", "f16"], /^\| model .*\n.*\n\| model .* pp4 /],
  [
    "allocate",
    ["--text", text, "--kv", "k4v4,window=0", "-c", "64", "--chunks", "1", "--verify-chunks", "1", "--measure", "3"],
    /\n--kv k\S+\n$/,
  ],
  [
    "calibrate",
    ["--tokens", "1024", "-c", "512", "--force", "--json"],
    /^\{"model":"model","file":null,"bytes":null,.*"layers":\[\{/,
  ],
  ["report", [rows, "--json"], /^\{"out":null,"rows":1,.*"recommendations":\[\{/],
];

/** A file that opens and takes nothing. */
const FULL = "/dev/full";
const isThere = existsSync(FULL);
it.skipIf(!isThere).for(CASES)(`%s${isThere ? "" : ` (no ${FULL})`}`, async ([command, options, result]) => {
  writeFileSync(text, DEFAULT_PROMPT);
  if (command === "report") {
    const made = await runCommand(["eval", ...model.args, "--text", text, "-c", "64", "--chunks", "1", "--out", rows]);
    expect(made.code, made.err).toBe(0);
  }
  const own = command === "report" ? [] : [...model.args, "--quiet"];
  const { code, out, err } = await runCommand([command, ...options, ...own, "--out", FULL]);
  expect(out).toMatch(result);
  expect([code, err.trim().split("\n")]).toEqual([
    2,
    [expect.stringMatching(/\/dev\/full:? .*no space is left on the device/)],
  ]);
});

it("report names the page that it has written though the pictures fail", async () => {
  const family = join(model.folder, "family.jsonl");
  writeFileSync(
    family,
    familyRows()
      .map((row) => JSON.stringify(row))
      .join("\n"),
  );
  const [page, images] = ["page.html", "images"].map((name) => join(model.folder, name)) as [string, string];
  const argv = ["report", family, "--out", page, "--images", images, "--json"];
  const [first] = JSON.parse((await runCommand(argv)).out).images;
  // A folder in the place of a picture.
  rmSync(first);
  mkdirSync(first);
  const { code, out, err } = await runCommand(argv);
  expect([code, JSON.parse(out)]).toEqual([2, expect.objectContaining({ out: page, images: [] })]);
  expect(err).toMatch(/^error: --images .*: cannot be written: /);
});
