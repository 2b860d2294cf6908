/** @file A GGUF file and a folder of every quantized kind run on all backends: from the command line, and to the same logits. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
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
import { splitFile } from "./support/gguf-model.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { HubServer } from "./support/hub-server.ts";
import { QUANTIZED_KINDS, quantizedGguf, quantizedModel, writeQuantizedModel } from "./support/quantized-model.ts";
import { relativeError } from "./support/wasm-backend.ts";

const folder = mkdtempSync(join(tmpdir(), "model-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = quantizedGguf();
const gguf = writeGguf(file);
/** In a folder of its own, as large models are on the hub. */
const parts = new Map(Array.from(splitFile(file, "Q8_0/small", 3), ([path, part]) => [path, writeGguf(part)]));
const KINDS = ["gguf", ...QUANTIZED_KINDS];
const sourceOf = (kind: string): MemorySource =>
  new MemorySource(kind === "gguf" ? { "small.gguf": gguf } : quantizedModel(kind), kind);

it("there is a model of every kind", () => {
  expect(new Set(QUANTIZED_KINDS)).toEqual(new Set(schemeNames()));
});

/** What follows `-m`: a file, known by its ending or its first bytes, a folder of each kind, and split files in folders by quantization, here and on the hub. */
const REFS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(KINDS.map((kind) => [kind, join(folder, kind === "gguf" ? "small.gguf" : kind)])),
  "no ending": join(folder, "small"),
  quants: `${join(folder, "quants")}:q8_0`,
  hub: "org/small-GGUF:Q8_0",
};
/** On a GPU in software each command compiles its kernels for seconds; the other kinds are compared below, on one device. */
const ON_GPU = ["gptq", "hub"];

describe("run -m", () => {
  let hub: HubServer;
  beforeAll(async () => {
    for (const kind of QUANTIZED_KINDS) writeQuantizedModel(REFS[kind]!, kind);
    for (const kind of ["gguf", "no ending"]) writeFileSync(REFS[kind]!, gguf);
    mkdirSync(join(folder, "quants/Q8_0"), { recursive: true });
    for (const [path, bytes] of parts) writeFileSync(join(folder, "quants", path), bytes);
    hub = await HubServer.start();
    hub.repos.set("org/small-GGUF", { files: { ...Object.fromEntries(parts), "F16/small.gguf": "another" } });
    vi.stubEnv("HF_ENDPOINT", hub.endpoint);
    vi.stubEnv("HF_HOME", join(folder, "hf"));
    for (const name of ["HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"]) vi.stubEnv(name, "");
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await hub.close();
  });

  const answers = new Map<string, Promise<Record<string, unknown>>>();
  const run = (kind: string, backend: string): Promise<Record<string, unknown>> => {
    const argv = `run --backend ${backend} -t 1 -n 2 --temp 0 --kv f16 --raw --json --quiet abc -m`.split(" ");
    const key = `${backend} ${kind}`;
    const answer =
      answers.get(key) ??
      runCommand([...argv, REFS[kind]!]).then(({ code, out, err }) => {
        expect([code, err]).toEqual([0, ""]);
        return JSON.parse(out) as Record<string, unknown>;
      });
    answers.set(key, answer);
    return answer;
  };

  describe.each([
    ["reference", null, Object.keys(REFS)],
    ["wasm", null, Object.keys(REFS)],
    ["webgpu", gpuSkip, ON_GPU],
  ] as const)("%s", (backend, skip, kinds) => {
    it.skipIf(skip).each(kinds)(
      `%s${skip ? ` (${skip})` : ""}`,
      async (kind) => {
        const { model, usage, backend: used, tokens } = await run(kind, backend);
        const isGguf = ["gguf", "no ending", "quants", "hub"].includes(kind);
        expect({ model, usage }).toMatchObject({ model: isGguf ? "small" : kind, usage: { promptTokens: 3 } });
        expect((used as string).split(" ")[0]).toBe(backend);
        expect(tokens).toEqual((await run(kind, "reference"))["tokens"]);
      },
      GPU_TIMEOUT_MS,
    );
  });
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
