/** @file A model is shown by its name, wherever it lies: in a folder, in the hub's cache, in a GGUF file that has a name or none. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../src/node/install.ts";
import { runCommand } from "./support/cli-io.ts";
import { writeRandomCheckpoint } from "./support/fake-checkpoint.ts";
import { writeGguf } from "./support/gguf-file.ts";
import { folderAsGguf, splitFile } from "./support/gguf-model.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-names-"));
const plain = join(folder, "My Model");
const cached = join(folder, "models--some--small", "snapshots", "0123456789abcdef0123456789abcdef01234567");
const files = join(folder, "files");

beforeAll(async () => {
  mkdirSync(files);
  for (const place of [plain, cached]) writeRandomCheckpoint(place);
  const named = await folderAsGguf(plain, { name: "Small 1B\u001b[2J Instruct" });
  for (const file of [join(files, "named.gguf"), join(plain, "beside.gguf")]) writeFileSync(file, writeGguf(named));
  const nameless = await folderAsGguf(plain, { name: "model" });
  for (const [file, part] of splitFile(nameless, "small-Q4_0", 2)) writeFileSync(join(files, file), writeGguf(part));
});
afterAll(() => rmSync(folder, { recursive: true }));

const CASES: readonly [what: string, ref: string, name: string][] = [
  ["a folder", plain, "My Model"],
  ["a folder, with a slash and from here", `./${relative(process.cwd(), plain)}/`, "My Model"],
  ["a config.json", join(plain, "config.json"), "My Model"],
  ["a snapshot of the hub's cache", cached, "some/small"],
  ["a file's own name, without what a terminal would obey", join(files, "named.gguf"), "Small 1B [2J Instruct"],
  ["a file that is named, beside the weights of the folder", join(plain, "beside.gguf"), "Small 1B [2J Instruct"],
  ["a file whose name says nothing", join(files, "small-Q4_0-00002-of-00002.gguf"), "small-Q4_0"],
];

it.each(CASES)("%s", async (_what, ref, name) => {
  const { out } = await runCommand(["plan", "-m", ref, "--memory", "1GB", "--json"]);
  expect(JSON.parse(out).model.name).toBe(name);
  if (ref.endsWith(".json")) return;
  expect((await runCommand(["inspect", ref])).out).toMatch(`model        ${name} (qwen3)`);
});

it("a command that generates names it too, and the folder nowhere", async () => {
  const args = ["-m", join(files, "named.gguf"), "-t", "1", "--backend", "wasm"];
  const { out, err } = await runCommand(["run", ...args, "-n", "2", "--explain", "--json", "hi"]);
  expect(JSON.parse(out).model).toBe("Small 1B [2J Instruct");
  expect(err).toContain("model: Small 1B [2J Instruct, qwen3");
  expect(out + err).not.toContain(folder);
});
