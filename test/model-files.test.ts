/** @file A GGUF file and a folder of every quantized kind run on all backends: from the command line, and to the same logits. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createBackend } from "../src/engine/create-backend.ts";
import { Runner } from "../src/engine/runner.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { MemorySource } from "../src/formats/memory-source.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { schemeNames } from "../src/formats/quantized/schemes.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { runCommand } from "./support/cli-io.ts";
import { writeGguf } from "./support/gguf-file.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { QUANTIZED_KINDS, quantizedGguf, quantizedModel, writeQuantizedModel } from "./support/quantized-model.ts";
import { relativeError } from "./support/wasm-backend.ts";

const folder = mkdtempSync(join(tmpdir(), "model-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const gguf = writeGguf(quantizedGguf());
const KINDS = ["gguf", ...QUANTIZED_KINDS];
const sourceOf = (kind: string): MemorySource =>
  new MemorySource(kind === "gguf" ? { "small.gguf": gguf } : quantizedModel(kind), kind);

it("there is a model of every kind; experts alone are stored as mxfp4", () => {
  expect(QUANTIZED_KINDS).toEqual(schemeNames().filter((name) => name !== "mxfp4"));
});

it.each(KINDS)("run -m %s", async (kind) => {
  const ref = join(folder, kind === "gguf" ? "small.gguf" : kind);
  if (kind === "gguf") writeFileSync(ref, gguf);
  else writeQuantizedModel(ref, kind);
  const argv = [
    "run",
    "-m",
    ref,
    "--backend",
    "reference",
    "-n",
    "2",
    "--temp",
    "0",
    "--raw",
    "--json",
    "--quiet",
    "abc",
  ];
  const { code, out, err } = await runCommand(argv);
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(out)).toMatchObject({ model: kind === "gguf" ? "small" : kind, usage: { promptTokens: 3 } });
});

async function logitsOf(ops: Ops, checkpoint: Checkpoint): Promise<Float32Array> {
  const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
  const decoder = await Decoder.load(ops, checkpoint, { config, kv: parseKvSpec("f16"), weights: "auto" });
  const sequence = decoder.createCache().createSequence();
  const logits = await new Runner(decoder, { contextLength: 64 }).prefill(sequence, Int32Array.of(70, 71, 72));
  sequence.release();
  decoder.dispose();
  return logits.slice();
}

describe.each([
  ["wasm", null],
  ["webgpu", gpuSkip],
])("%s", (name, skip) => {
  let ops: Ops;
  beforeAll(async () => {
    if (!skip) ops = await createBackend(name, name === "wasm" ? { threads: 1 } : {});
  }, GPU_TIMEOUT_MS);
  afterAll(() => ops?.dispose());

  it.skipIf(skip).each(KINDS)(
    `has the reference's logits of %s${skip ? ` (${skip})` : ""}`,
    async (kind) => {
      const checkpoint = await openCheckpoint(sourceOf(kind));
      const expected = await logitsOf(createReferenceBackend(), checkpoint);
      expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.1);
      expect(relativeError(await logitsOf(ops, checkpoint), expected)).toBeLessThan(2e-3);
    },
    GPU_TIMEOUT_MS,
  );
});
