/** @file Plans against an engine that really holds the model, its cache and its activations. */
import { afterEach, describe, expect, it } from "vitest";
import "../node/install.ts";
import { countingAdapter } from "../../test/support/counting-adapter.ts";
import { withAdapter } from "../../test/support/fake-adapter.ts";
import type { WeightType } from "../backends/ops.ts";
import { plannedBackend } from "../backends/registry.ts";
import { createBackend } from "../engine/create-backend.ts";
import { expectPages } from "../engine/expect-pages.ts";
import { Runner } from "../engine/runner.ts";
import { parseModelConfig } from "../models/config.ts";
import { Decoder } from "../models/decoder.ts";
import { RandomCheckpoint } from "../models/random-weights.ts";
import { shapeConfig } from "../models/shapes.ts";
import { nodePlatform } from "../node/platform.ts";
import { setPlatform } from "../platform.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { weightTypes } from "../weights/registry.ts";
import { planMemory } from "./memory-plan.ts";
import { planNotes } from "./notes.ts";
import { modelOfConfig } from "./planned-model.ts";
import { weightMemory } from "./weight-memory.ts";

/** Widths that fill no whole record, stacked matrices, biases. */
const odd = {
  model_type: "qwen2",
  hidden_size: 36,
  num_hidden_layers: 3,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  head_dim: 24,
  intermediate_size: 50,
  vocab_size: 301,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
};
const jsons = {
  odd,
  tied: { ...odd, model_type: "qwen3", tie_word_embeddings: true, head_dim: 16 },
};
const configs = {
  odd: parseModelConfig(jsons.odd, "odd"),
  tied: parseModelConfig(jsons.tied, "tied"),
};
const GB = 1e9;
const wasm = plannedBackend("wasm").planner;
const webgpu = plannedBackend("webgpu").planner;
const qwen32b = modelOfConfig(shapeConfig("qwen3-32b"), "qwen3-32b");

async function loaded(name: keyof typeof configs, backend: "wasm" | "webgpu", weights: WeightType, kv = "k4v4") {
  const config = configs[name];
  const ops = await createBackend(backend, backend === "wasm" ? { threads: 1 } : {});
  const decoder = await Decoder.load(ops, new RandomCheckpoint(jsons[name], name), {
    config,
    weights,
    kv: parseKvSpec(kv),
  });
  return { ops, decoder };
}

afterEach(() => setPlatform(nodePlatform));

describe("weights", () => {
  const types = weightTypes();
  it.each(["odd", "tied"] as const)("%s: bytes are those of the wasm backend", async (name) => {
    const config = configs[name];
    for (const type of types) {
      const { ops, decoder } = await loaded(name, "wasm", type);
      expect(weightMemory(modelOfConfig(config, ""), type, "wasm").bytes, type).toBe(decoder.weightBytes);
      await ops.dispose();
    }
  });

  it("and those of a device", async () => {
    withAdapter(countingAdapter(false).adapter);
    for (const type of types) {
      const { ops, decoder } = await loaded("odd", "webgpu", type);
      expect(weightMemory(modelOfConfig(configs.odd, ""), type, "webgpu").bytes).toBe(decoder.weightBytes);
      await ops.dispose();
    }
  });

  it("auto is what is stored, tensor by tensor", () => {
    const model = modelOfConfig(configs.odd, "", "bf16");
    const bf16 = weightMemory(model, "auto", "wasm");
    expect(bf16).toEqual(weightMemory(model, "bf16", "wasm"));
    const storedTypeOf = new Map<string, WeightType>([["model.embed_tokens.weight", "f32"]]);
    const mixed = weightMemory({ ...model, storedTypeOf }, "auto", "wasm");
    // 304 rows of panels, 40 columns of records, two bytes more each.
    expect(mixed.bytes - bf16.bytes).toBe(304 * 40 * 2);
    // Of a stack of different types each tensor keeps its own, as the decoder does.
    storedTypeOf.set("model.layers.0.self_attn.q_proj.weight", "f32");
    const rows = configs.odd.numHeads * configs.odd.headDim;
    expect(weightMemory({ ...model, storedTypeOf }, "auto", "wasm").bytes - mixed.bytes).toBe(rows * 40 * 2);
  });
});

describe("cache, activations and scratch", () => {
  const KV = ["f16", "k4v4", "k3v5,sinks=20,window=70", "paper-2", "k4v4,layers=1:f16"];

  it("pages of a filled cache, bytes of the buffers, and a bound on the whole memory", async () => {
    const tokens = 700;
    for (const kv of KV) {
      const { ops, decoder } = await loaded("odd", "wasm", "f32", kv);
      const allocated = { bytes: 0 };
      const alloc = ops.alloc.bind(ops);
      ops.alloc = (length) => {
        allocated.bytes += length * 4;
        return alloc(length);
      };
      const cache = decoder.createCache();
      const sequence = cache.createSequence();
      const runner = new Runner(decoder, { contextLength: 4096 });
      await runner.prefill(sequence, new Int32Array(tokens).fill(7));
      const model = modelOfConfig(configs.odd, "odd");
      const plan = planMemory(model, { memoryBytes: GB, context: tokens, kv: [kv], weights: "f32", backend: "wasm" });
      const [format] = plan.formats;
      expect(format!.cacheBytes, kv).toBe(sequence.numBytes);
      expect(plan.activationBytes, kv).toBe(allocated.bytes);
      expect(format!.heldBytes, kv).toBe(ops.pages.numBytes);
      const used = ops.usedBytes!;
      expect(format!.totalBytes, kv).toBeGreaterThan(used);
      // The bound allows 16 threads; this is one.
      expect(format!.totalBytes - 15 * 2 ** 19, kv).toBeLessThan(used + 4 * 2 ** 20);
      sequence.release();
      await ops.dispose();
    }
  });

  it("several sequences hold what a cache of that many holds", async () => {
    const { ops, decoder } = await loaded("odd", "wasm", "f32");
    const cache = decoder.createCache();
    const runner = new Runner(decoder, { contextLength: 4096 });
    for (let i = 0; i < 3; i++) {
      await runner.prefill(cache.createSequence(), new Int32Array(300).fill(7), { logits: "none" });
    }
    const options = { memoryBytes: GB, context: 300, sequences: 3, kv: ["k4v4"], backend: "wasm" } as const;
    const [format] = planMemory(modelOfConfig(configs.odd, ""), options).formats;
    expect(format!.cacheBytes).toBe(cache.numBytes);
    expect(format!.heldBytes).toBe(ops.pages.numBytes);
    await ops.dispose();
  });

  it("what a device holds for pages, growth included", async () => {
    withAdapter(countingAdapter(false).adapter);
    const { ops, decoder } = await loaded("tied", "webgpu", "f16");
    const empty = ops.pages.numBytes;
    const cache = decoder.createCache();
    expectPages(cache, 1000, 1024);
    const sequence = cache.createSequence();
    sequence.reserve(1000);
    const options = { memoryBytes: GB, context: 1000, kv: ["k4v4"], backend: "webgpu" } as const;
    const [format] = planMemory(modelOfConfig(configs.tied, ""), options).formats;
    expect(format!.heldBytes).toBe(ops.pages.numBytes - empty);
    sequence.release();
    await ops.dispose();
  });
});

describe("what fits", () => {
  const plan = (options: Partial<Parameters<typeof planMemory>[1]> = {}) =>
    planMemory(qwen32b, { memoryBytes: 128 * GB, ...options });

  it("Qwen3-32B takes 262,144 bytes a token in f16", () => {
    const [f16] = plan({ kv: ["f16"], context: 1 << 19 }).formats;
    expect(f16).toMatchObject({ bytesPerToken: 262_144, cacheBytes: 262_144 * (1 << 19), bitsPerValue: 16 });
  });

  it("the longest context fits and one page more does not, with one sequence and with several", () => {
    for (const sequences of [1, 3]) {
      for (const { kv, longestContext } of plan({ sequences }).formats) {
        const at = (context: number) => plan({ context, sequences, kv: [kv] }).formats[0]!.fits;
        expect([kv, at(longestContext), at(longestContext + 64)]).toEqual([kv, true, false]);
      }
    }
  });

  it("the most sequences fit and one more does not", () => {
    for (const { kv, mostSequences } of plan({ context: 32_768 }).formats) {
      const at = (sequences: number) => plan({ context: 32_768, sequences, kv: [kv] }).formats[0]!.fits;
      expect([kv, at(mostSequences), at(mostSequences + 1)]).toEqual([kv, true, false]);
    }
  });

  it("the best is the one with most bits that fits, and nothing fits too small a memory", () => {
    const { formats, best } = plan({ context: 1 << 19 });
    expect(formats.map(({ bitsPerValue }) => bitsPerValue)).toEqual(
      formats.map(({ bitsPerValue }) => bitsPerValue).sort((a, b) => b - a),
    );
    expect(best).toBe(formats.find(({ freeBytes }) => freeBytes >= 0));
    const small = plan({ memoryBytes: 60 * GB });
    expect(small.best).toBeNull();
    expect(small.formats.every(({ longestContext, mostSequences }) => longestContext + mostSequences === 0)).toBe(true);
  });

  it("the reserve is not used, and 32-bit WebAssembly has memories of 4 GiB", () => {
    expect(plan({ reserveBytes: 0 }).availableBytes - plan().availableBytes).toBe(6.4 * GB);
    expect(plan({ backend: "wasm" }).availableBytes).toBe(16 * wasm.limits.memoryBytes);
    const [q8, f16] = (["q8", "f16"] as const).map((weights) => plan({ backend: "wasm", weights, kv: ["k4v4"] }));
    expect([q8!.formats[0], f16!.formats[0]]).toMatchObject([
      { memories: 11, fits: true },
      { memories: 0, fits: false, longestContext: 0 },
    ]);
    expect(() => plan({ reserveBytes: 128 * GB })).toThrow(/a reserve below the memory/);
  });

  it("auto takes wasm where everything fits it", () => {
    const small = modelOfConfig(configs.odd, "");
    expect(planMemory(small, { memoryBytes: GB }).backend).toBe("wasm");
    expect(plan().backend).toBe("webgpu");
  });

  it("auto takes wasm in several memories where there is no GPU", () => {
    const kv = ["k4v4"];
    expect(plan({ kv, weights: "q8", hasGpu: false })).toMatchObject({
      backend: "wasm",
      formats: [{ memories: 11, fits: true }],
    });
    expect(plan({ kv, weights: "q8", hasGpu: true }).backend).toBe("webgpu");
    // What fits nowhere is told of the backend that holds more.
    expect(plan({ kv, memoryBytes: GB }).backend).toBe("webgpu");
  });

  it("of weights, what is read ahead lies in memory besides while they are loaded, of a small model all", () => {
    expect(plan().weights.loadingBytes).toBe(32 << 20);
    const { weights } = planMemory(modelOfConfig(configs.odd, ""), { memoryBytes: GB });
    expect(weights.loadingBytes).toBe(2 * weights.parameters);
  });

  it.each([
    [{ context: 0 }, /context: expected a whole number from 1/],
    [{ sequences: 1.5 }, /sequences: expected/],
    [{ contexts: [-1] }, /contexts: expected/],
    [{ kv: ["k4v9"] }, /k4v9/],
    [{ kv: ["k4v4,layers=0-64:f16"] }, /the model has layers 0 to 63/],
  ])("%j is refused", (options, message) => {
    expect(() => plan(options)).toThrow(message);
  });
});

describe("notes", () => {
  const codes = (model = qwen32b, options: Partial<Parameters<typeof planMemory>[1]> = {}) =>
    planNotes(planMemory(model, { memoryBytes: 128 * GB, ...options })).map(({ code }) => code);

  it("a context beyond the model's, with the factor to stretch it", () => {
    expect(codes()).not.toContain("beyond-model");
    const notes = planNotes(planMemory(qwen32b, { memoryBytes: 128 * GB, context: 131_072 }));
    expect(notes.find(({ code }) => code === "beyond-model")?.text).toMatch(/3\.2 times the 40,960 .*"factor": 3\.25/);
  });

  it("a layer's pages beyond 128 MiB, exactly when they are", () => {
    const at = (context: number) => planMemory(qwen32b, { memoryBytes: 128 * GB, context, kv: ["f16"] });
    const tokens = [16_384, 32_768, 40_960].map(at);
    for (const plan of tokens) {
      const says = planNotes(plan).some(({ code }) => code === "binding");
      expect(says).toBe(plan.formats[0]!.largestBinding > webgpu.limits.leastBindingBytes);
    }
    // 32,768 tokens are 128 MiB to the byte: no room to grow is kept where the length is known.
    expect(tokens.map((plan) => plan.formats[0]!.largestBinding > webgpu.limits.leastBindingBytes)).toEqual([
      false,
      false,
      true,
    ]);
  });

  it("an unusual type of stored weights that only the config tells of", () => {
    const f32 = modelOfConfig(configs.odd, "", "f32");
    expect(codes(f32)).toEqual(["assumption"]);
    expect(codes(f32, { weights: "bf16" })).toEqual([]);
    expect(codes({ ...f32, storedTypeOf: new Map() })).toEqual([]);
  });

  it("sliding-window layers, and what wasm can address", () => {
    const sliding = parseModelConfig({ ...odd, model_type: "mistral", sliding_window: 100 }, "");
    expect(codes(modelOfConfig(sliding, ""))).toContain("sliding-window");
    expect(codes(modelOfConfig(configs.odd, ""))).toEqual([]);
    expect(codes(qwen32b, { backend: "wasm" })).toContain("wasm-limit");
    expect(codes(qwen32b, { backend: "wasm", weights: "q8" })).toEqual(["memories"]);
  });
});
