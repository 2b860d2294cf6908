/** @file What commands say of models whose layers keep different things, and that they run. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { LLM } from "../src/index.ts";
import { supportedTypes } from "../src/models/registry.ts";
import { runCommand } from "./support/cli-io.ts";
import { isThorough } from "./support/optional.ts";
import { seededFiles, seededSource } from "./support/seeded-checkpoint.ts";
import { sharedPath } from "./support/shared.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-kinds-"));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, content] of Object.entries(seededFiles(name))) writeFileSync(join(path, file), content);
  return path;
}

async function out(...argv: string[]): Promise<string> {
  const result = await runCommand(argv);
  expect([result.code, result.err]).toEqual([0, expect.anything()]);
  return result.out;
}

/** Rows of the table of kinds, without its last column. */
const rows = (text: string): string[] =>
  text
    .split("\n")
    .filter((line) => /^(full|sliding|chunked|latent|fixed|shared|none) +\d/.test(line))
    .map((line) => line.split(/ {2,}/).slice(0, 4).join(" | "));

const CASES: readonly (readonly [model: string, kv: string, kinds: readonly string[]])[] = [
  [
    "gemma4_text",
    "k8v8,layers=sliding:f16",
    [
      "sliding | 0–1, 3 | keys and values of the last 9 | f16/f16",
      "full | 2 | keys and values | tq8/tq8",
      "shared | 4–5 | keys and values of 2 and 3 | –",
    ],
  ],
  [
    "nemotron_h",
    "k4v4",
    ["fixed | 0 | a state of fixed size, f32 | –", "none | 1, 3 | nothing | –", "full | 2 | keys and values | tq4/tq4"],
  ],
  [
    "kimi_linear",
    "k4v4,layers=latent:k8v8",
    ["fixed | 0, 2 | a state of fixed size, f32 | –", "latent | 1 | latent rows | tq8"],
  ],
  [
    "llama4_text",
    "k4v4",
    ["chunked | 0–2 | keys and values of chunks of 24 | tq4/tq4", "full | 3 | keys and values | tq4/tq4"],
  ],
];

describe.each(CASES)("%s in %s", (model, kv, kinds) => {
  const path = write(model);

  it("inspect and plan show each kind with its bytes", async () => {
    for (const argv of [["inspect"], ["plan", "--memory", "1GB"]]) {
      const found = rows(await out(...argv, path, "--kv", kv, "--ctx", "500"));
      expect(found).toEqual(kinds);
    }
    const { kv: facts } = JSON.parse(await out("inspect", path, "--kv", kv, "--ctx", "500", "--json"));
    expect(facts.kinds.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0)).toBe(facts.bytes);
    expect(await out("show", path)).toContain(model);
  });

  it("run continues a text, and --explain says the kinds", async () => {
    const { code, err } = await runCommand(["run", "-m", path, "--kv", kv, "text", "-n", "4", "--explain"]);
    expect(code, err).toBe(0);
    for (const kind of kinds) {
      const [name, layers, text] = kind.split(" | ");
      expect(err).toContain(`${name} (layers ${layers}): ${text}`);
    }
  });
});

it("latent rows are not calibrated, shared out or diagnosed, which is said before the model writes a text", async () => {
  const model = ["-m", join(folder, "kimi_linear"), "-t", "1"];
  for (const [argv, message] of [
    [["calibrate", "--tokens", "100000", "--force"], /calibrate: latent attention has no keys and values of heads/],
    [
      ["calibrate", "--method", "oscar", "--out", join(folder, "oscar"), "--tokens", "100000"],
      /calibrate: latent attention has no keys and values of heads, so there is nothing to calibrate/,
    ],
    [["allocate", "-c", "64"], /latent attention has no keys and values of heads/],
    [["eval", "-c", "64", "--diagnose"], /latent attention has no keys and values of heads/],
  ] as const) {
    const { code, err } = await runCommand([...argv, ...model]);
    expect(code, argv[0]).toBe(2);
    expect(err).toMatch(message);
    expect(err).not.toContain("the model wrote");
  }
});

it("inspect of a saved cache tells what grows from what does not", async () => {
  await using llm = await LLM.load(seededSource("falcon_h1"), { kv: "k4v4", backend: "reference" });
  const session = llm.createSession();
  await llm.runner.prefill(session.sequence, [1, 2, 3]);
  const file = join(folder, "a.tqkv");
  writeFileSync(file, await session.save());
  session.release();
  expect(await out("inspect", file)).toMatch(
    /^states +4 of keys and values, 2 KV heads of 32; 4 of fixed size, 21\.0 kB$/m,
  );
});

/** Of types that run: others are refused by name (seeded-architectures.test.ts). */
const fixtures = (isThorough ? ["fixtures", "fixtures2"] : [])
  .flatMap((own) => sharedPath(own) ?? [])
  .flatMap((root) => readdirSync(root, { withFileTypes: true }).map((entry) => join(root, entry.name)))
  .filter((path) => existsSync(join(path, "config.json")))
  .filter((path) => {
    const { model_type } = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as { model_type: string };
    return supportedTypes().includes(model_type);
  });
const skip = fixtures.length > 0 ? "" : " (TQ_THOROUGH not set, or not present)";
describe.skipIf(skip)(`every fixture${skip}`, () => {
  it.each(fixtures.map((path) => [basename(path), path]))(
    "%s runs, is shown, inspected and planned",
    async (_name, path) => {
      for (const argv of [
        ["run", "-m", path!, "text", "-n", "4"],
        ["show", path!],
        ["inspect", path!],
        ["plan", path!],
      ])
        await out(...argv);
    },
  );
});
