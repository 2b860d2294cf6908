/** @file A weight format is one object and one registration: made-up ones load, run, are planned and are refused by name. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../src/node/install.ts";
import type { Ops, WeightType } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { createBackend } from "../../src/engine/create-backend.ts";
import { Runner } from "../../src/engine/runner.ts";
import type { Checkpoint, TensorInfo } from "../../src/formats/checkpoint.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { Decoder } from "../../src/models/decoder.ts";
import { RandomCheckpoint } from "../../src/models/random-weights.ts";
import { planMemory } from "../../src/plan/memory-plan.ts";
import { modelOfCheckpoint } from "../../src/plan/read-model.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { registerWeightFormat, weightFormat, weightTypes } from "../../src/weights/registry.ts";
import { matrixBytes } from "../../src/weights/weight-format.ts";
import { stackParts } from "../../src/weights/weight-part.ts";
import { gpuSkip } from "../support/gpu.ts";
import { relativeError, stored } from "../support/wasm-backend.ts";
import { int8Rows } from "./int8-rows.ts";
import { nibbleTable } from "./nibble-table.ts";

registerWeightFormat(int8Rows);
registerWeightFormat(nibbleTable);
const INT8_ROWS = int8Rows.name as WeightType;
const NIBBLES = nibbleTable.name as WeightType;

const json = {
  model_type: "qwen3",
  hidden_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 24,
  intermediate_size: 56,
  vocab_size: 67,
  max_position_embeddings: 512,
  tie_word_embeddings: false,
};
const config = parseModelConfig(json, "config.json");
const kv = parseKvSpec("f32");
const text = Int32Array.from([3, 1, 4, 15, 9, 26, 5, 35]);

type BytesOf = (values: Float32Array, rows: number, cols: number) => Uint8Array;

/** The random checkpoint with its matrices stored in another format. */
class StoredAs implements Checkpoint {
  readonly name = "stored";
  readonly modelName = "stored";
  readonly configFile = "stored";
  readonly stem = null;
  readonly container = "test";
  readonly #inner = new RandomCheckpoint(json, "random");
  readonly files = this.#inner.files;
  readonly #type: WeightType;
  readonly #bytesOf: BytesOf;

  constructor(type: WeightType, bytesOf: BytesOf = int8Rows.quantize!) {
    this.#type = type;
    this.#bytesOf = bytesOf;
  }

  config = () => this.#inner.config();

  async tensors(): Promise<ReadonlyMap<string, TensorInfo>> {
    const inner = await this.#inner.tensors();
    return new Map(
      Array.from(inner, ([name, info]) => {
        if (info.shape.length === 1) return [name, info];
        const [rows, cols] = info.shape as [number, number];
        const numBytes = matrixBytes(weightFormat(this.#type), rows, cols);
        const { isFinite: _, ...rest } = info;
        return [name, { ...rest, dtype: this.#type, numBytes }];
      }),
    );
  }

  async read(name: string): Promise<Uint8Array> {
    const { shape, dtype } = (await this.#inner.tensors()).get(name)!;
    const data = await this.#inner.read(name);
    if (shape.length === 1) return data;
    const [rows, cols] = shape as [number, number];
    return this.#bytesOf(stackParts([{ dtype, rows, cols, data }]).data, rows, cols);
  }

  fingerprint = async () => "of a test";
}

/** Nibbles that say something of the values: which levels does not matter. */
const someNibbles = (values: Float32Array, rows: number, cols: number): Uint8Array =>
  Uint8Array.from({ length: matrixBytes(nibbleTable, rows, cols) }, (_, i) =>
    i % 17 === 0 ? 118 + (i % 5) : (i * 31 + Math.floor(Math.abs(values[i % values.length]!) * 1e4)) & 255,
  );

async function logitsOf(ops: Ops, checkpoint: Checkpoint, weights: WeightType | "auto"): Promise<Float32Array> {
  const decoder = await Decoder.load(ops, checkpoint, { config, kv, weights });
  const cache = decoder.createCache();
  const sequence = cache.createSequence();
  const runner = new Runner(decoder, { contextLength: 64 });
  const logits = await runner.prefill(sequence, text);
  sequence.release();
  decoder.dispose();
  return logits;
}

let wasm: Ops;
beforeAll(async () => {
  wasm = await createBackend("wasm", { threads: 1 });
});
afterAll(() => wasm.dispose());

describe("int8 with a scale a row", () => {
  const checkpoint = new StoredAs(INT8_ROWS);

  it("is a choice of --weights like any other", () => {
    expect(weightTypes()).toContain(INT8_ROWS);
  });

  it("runs on the reference backend, stored so or quantized when loaded, to the same bits", async () => {
    const loaded = await logitsOf(createReferenceBackend(), checkpoint, "auto");
    const quantized = await logitsOf(createReferenceBackend(), new RandomCheckpoint(json, "random"), INT8_ROWS);
    expect(loaded).toEqual(quantized);
    const exact = await logitsOf(createReferenceBackend(), new RandomCheckpoint(json, "random"), "auto");
    expect(relativeError(loaded, exact)).toBeGreaterThan(1e-4);
    expect(relativeError(loaded, exact)).toBeLessThan(0.05);
  });

  it("is planned, on the backend that reads it", async () => {
    const model = modelOfCheckpoint(config, "stored", await checkpoint.tensors());
    expect(model.storedType).toBe(INT8_ROWS);
    const plan = planMemory(model, { memoryBytes: 1e9, kv: ["k4v4"] });
    expect(plan.backend).toBe("webgpu");
    expect(plan.weights.type).toBe(INT8_ROWS);
    // All that is stored, as it is little.
    const stored = [...(await checkpoint.tensors()).values()].reduce((sum, { numBytes }) => sum + numBytes, 0);
    expect(plan.weights.loadingBytes).toBeLessThanOrEqual(stored);
    expect(plan.weights.loadingBytes).toBeGreaterThan(0.9 * stored);
  });

  it("is refused by name where there are no kernels for it", async () => {
    const refusal = {
      code: "unsupported",
      message: expect.stringMatching(/wasm backend has no kernels for int8rows.*q8/),
    };
    await expect(logitsOf(wasm, checkpoint, "auto")).rejects.toMatchObject(refusal);
    const model = modelOfCheckpoint(config, "stored", await checkpoint.tensors());
    expect(() => planMemory(model, { memoryBytes: 1e9, backend: "wasm" })).toThrow(/no kernels for int8rows/);
  });

  it("becomes another format there when asked to", async () => {
    const expected = await logitsOf(createReferenceBackend(), checkpoint, "q8");
    expect(relativeError(await logitsOf(wasm, checkpoint, "q8"), expected)).toBeLessThan(1e-3);
  });

  it.skipIf(gpuSkip)("runs on WebGPU by its own reader", async () => {
    const gpu = await createBackend("webgpu");
    const expected = await logitsOf(createReferenceBackend(), checkpoint, "auto");
    expect(relativeError(await logitsOf(gpu, checkpoint, "auto"), expected)).toBeLessThan(1e-3);
    const model = modelOfCheckpoint(config, "stored", await checkpoint.tensors());
    const decoder = await Decoder.load(gpu, checkpoint, { config, kv, weights: "auto" });
    const plan = planMemory(model, { memoryBytes: 1e9, backend: "webgpu" });
    expect(plan.weights.bytes).toBe(decoder.weightBytes);
    await gpu.dispose();
  });

  it("finds what is not finite", async () => {
    const damaged = new StoredAs(INT8_ROWS, (values, rows, cols) => {
      const bytes = int8Rows.quantize!(values, rows, cols);
      new DataView(bytes.buffer).setFloat32((rows - 1) * (4 + cols), Number.NaN, true);
      return bytes;
    });
    await expect(logitsOf(createReferenceBackend(), damaged, "auto")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining(`embed_tokens.weight: value ${66 * 40} is not finite`),
    });
  });
});

describe("a format that only checkpoints store", () => {
  const checkpoint = new StoredAs(NIBBLES, someNibbles);

  it("is no choice of --weights", async () => {
    expect(weightTypes()).not.toContain(NIBBLES);
    await expect(logitsOf(createReferenceBackend(), new RandomCheckpoint(json, "r"), NIBBLES)).rejects.toThrow(
      /nothing is quantized to nibbletable/,
    );
  });

  it("is kept exactly in the format it names, code by code", async () => {
    for (const ops of [createReferenceBackend(), wasm]) {
      const cols = 40;
      const data = someNibbles(Float32Array.of(0.3), 9, cols);
      const part = { dtype: NIBBLES, rows: 9, cols, data };
      const weight = ops.loadWeight([part], "q8");
      expect((await stored(ops, weight)).map((v) => v + 0)).toEqual(stackParts([part]).data.map((v) => v + 0));
    }
    expect(modelOfCheckpoint(config, "stored", await checkpoint.tensors()).storedType).toBe(NIBBLES);
  });

  it("runs on wasm as it does on the reference backend", async () => {
    const expected = await logitsOf(createReferenceBackend(), checkpoint, "auto");
    expect(relativeError(await logitsOf(wasm, checkpoint, "auto"), expected)).toBeLessThan(1e-3);
    const model = modelOfCheckpoint(config, "stored", await checkpoint.tensors());
    const decoder = await Decoder.load(wasm, checkpoint, { config, kv, weights: "auto" });
    expect(planMemory(model, { memoryBytes: 1e9, backend: "wasm" }).weights.bytes).toBe(decoder.weightBytes);
    decoder.dispose();
  });
});
