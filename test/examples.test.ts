/** @file The examples run as they stand: in Node, as Vite bundles them, and a transformer of one's own whose logits are the engine's. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build as buildWithVite } from "vite";
import { afterAll, expect, it } from "vitest";
import "../src/node/install.ts";
import { type AttentionCache, type CachedSequence, LLM } from "../src/index.ts";
import { packageAlias } from "../web/build/package-alias.ts";
import { bundledExample, examples } from "./support/example.ts";
import { repoRoot } from "./support/shared.ts";
import { relativeError } from "./support/wasm-backend.ts";

const folder = mkdtempSync(join(tmpdir(), "examples-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("examples/node streams an answer", async () => {
  const file = await bundledExample("node/answer.mjs", folder);
  const { stdout, stderr, status } = spawnSync(process.execPath, [file, "What is the capital of Spain?"], {
    encoding: "utf8",
  });
  expect([stderr, status]).toEqual(["", 0]);
  expect(stdout).toMatch(/Madrid[\s\S]*\n\d+ \+ \d+ tokens in \d+ bytes of k4v4\n$/);
});

it("examples/own-transformer has the engine's logits, over the same cache", async () => {
  const { Transformer } = (await import(
    pathToFileURL(await bundledExample("own-transformer/transformer.ts", folder)).href
  )) as {
    Transformer: new (
      folder: string,
    ) => {
      createCache(kv: string): Promise<AttentionCache>;
      next(sequence: CachedSequence, token: number): Promise<Float32Array>;
    };
  };
  const transformer = new Transformer(join(repoRoot, "models/qwen3-1m"));
  const kv = "k4v4,window=8,calibration=off";
  await using cache = await transformer.createCache(kv);
  await using llm = await LLM.load("qwen3-1m", { kv, backend: "wasm", threads: 1, weights: "f32" });
  const sequence = cache.createSequence();
  const own = llm.cache.createSequence();
  const tokens = Array.from(llm.tokenizer.encode("Once upon a time there was a little girl who lived in a house"));
  for (const token of tokens) {
    const logits = await transformer.next(sequence, token);
    const expected = await llm.runner.step([{ sequence: own, tokens: [token], logits: "last" }]);
    expect(relativeError(logits, expected)).toBeLessThan(1e-3);
  }
  expect(tokens.length, "codes are read").toBeGreaterThan(12);
  own.release();
});

it("examples/vite is bundled without anything of Node, and kernels apart from the first script", async () => {
  const result = await buildWithVite({
    root: join(examples, "vite"),
    logLevel: "silent",
    resolve: { alias: packageAlias },
    build: { write: false, minify: false },
  });
  const { output } = (Array.isArray(result) ? result[0]! : result) as {
    output: { type: string; fileName: string; isEntry?: boolean; code?: string }[];
  };
  const chunks = output.filter(({ type }) => type === "chunk");
  for (const { fileName, code } of chunks)
    expect(code, fileName).not.toMatch(/from\s*["']node:|import\(["']node:(?!worker_threads)/);
  const entry = chunks.find(({ isEntry }) => isEntry)!;
  expect(entry.code).not.toContain("AGFzbQ");
});

it("every example stands in the list", () => {
  const list = readFileSync(join(examples, "README.md"), "utf8");
  for (const name of readdirSync(examples, { withFileTypes: true }).filter((entry) => entry.isDirectory()))
    expect(list).toContain(`](${name.name}/`);
});
