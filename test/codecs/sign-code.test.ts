/** @file A KV codec of one's own is one folder and one registration: specs, plans, sequences and refusals follow. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../src/node/install.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import type { KvCache } from "../../src/cache/kv-cache.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { restoreSequence, saveSequence } from "../../src/cache/snapshot.ts";
import { createBackend } from "../../src/engine/create-backend.ts";
import { collect } from "../../src/engine/generation.ts";
import { LLM } from "../../src/engine/llm.ts";
import { Runner } from "../../src/engine/runner.ts";
import { describeFormat } from "../../src/lab/report/describe-format.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { Decoder } from "../../src/models/decoder.ts";
import { RandomCheckpoint } from "../../src/models/random-weights.ts";
import { CacheMemory } from "../../src/plan/cache-memory.ts";
import { modelOfConfig } from "../../src/plan/planned-model.ts";
import { registerCodec, typeOf } from "../../src/quant/codecs/registry.ts";
import { bitsPerValue, pageLayout } from "../../src/quant/page-layout.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { RowCodec } from "../../src/quant/row-codec.ts";
import { runCommand } from "../support/cli-io.ts";
import { fakeCheckpoint } from "../support/fake-checkpoint.ts";
import { signCodec } from "./sign-code/sign-codec.ts";

registerCodec(signCodec);

const json = {
  model_type: "qwen3",
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  intermediate_size: 48,
  vocab_size: 97,
  max_position_embeddings: 512,
};
const config = parseModelConfig(json, "config.json");
const KV = "sign,sinks=2,window=24";
const IDENTITY = { fingerprint: "f", kvSpec: KV };
const text = Int32Array.from({ length: 200 }, (_, i) => (i * 37 + ((i * i) % 11)) % 97);

let decoder: Decoder;
let cache: KvCache;
let runner: Runner;
beforeAll(async () => {
  const options = { config, kv: parseKvSpec(KV), weights: "auto" } as const;
  decoder = await Decoder.load(createReferenceBackend(), new RandomCheckpoint(json, "random"), options);
  cache = decoder.createCache();
  runner = new Runner(decoder, { contextLength: 512 });
});
afterAll(async () => {
  expect(cache.numBytes, "every page was given back").toBe(0);
  decoder.dispose();
  await decoder.ops.dispose();
});

const read = (sequence: Sequence, from: number, to: number): Promise<Float32Array> =>
  runner.prefill(sequence, text.subarray(from, to));

/** Logits after `text[0..length)`, read at once. */
async function logitsAfter(length: number): Promise<Float32Array> {
  const sequence = cache.createSequence();
  const logits = await read(sequence, 0, length);
  sequence.release();
  return logits;
}

describe("a spec", () => {
  it("has it as a preset, and as a type of one side or of layers", () => {
    expect(parseKvSpec("sign").forLayer(0)).toMatchObject({ k: { kind: "sign" }, v: { kind: "sign" }, window: 0 });
    const mixed = parseKvSpec("k4v4,k=sign,layers=1:vsign+2:f16");
    expect([0, 1, 2].map((i) => [mixed.forLayer(i).k, mixed.forLayer(i).v].map(typeOf))).toEqual([
      ["sign", "tq4"],
      ["sign", "sign"],
      ["f16", "f16"],
    ]);
    expect(parseKvSpec("sign,window=0,seed=7").text).toBe("sign,seed=7");
    expect(describeFormat("sign")).toMatchObject({ family: "baseline", side: "both", bits: 1 });
  });

  it("names it to whoever mistypes", () => {
    expect(() => parseKvSpec("sing")).toThrow(/choose f16, .*kivi-N, .*, sign or tiers=.*; did you mean sign\?/);
    expect(() => parseKvSpec("k4v4,v=sing")).toThrow(/v=sing is not a type; choose f16, .* or sign/);
  });
});

describe("a page", () => {
  const { k, v } = parseKvSpec("sign").forLayer(0);

  it("holds a bit a coordinate and a scale a row", () => {
    expect(bitsPerValue(pageLayout(k, v, 128, 2))).toBe(1 + 16 / 128);
  });

  it("reads back the signs with the mean magnitude", () => {
    const layout = pageLayout(k, v, 8, 1);
    const page = new Uint8Array(layout.numBytes);
    const codec = new RowCodec(k, { rotation: "none", seed: 0 }, 8);
    const x = Float32Array.of(1, -2, 3, -4, 5, -6, 7, 0);
    codec.write(x, page, layout, "k", 0, 5);
    const out = new Float32Array(8);
    codec.read(page, layout, "k", 0, 5, out);
    expect([...out]).toEqual([3.5, -3.5, 3.5, -3.5, 3.5, -3.5, 3.5, 3.5]);
    expect(page[layout.k.planes[0]!.offset + 5]).toBe(0b11010101);
  });
});

describe("sequences", () => {
  it("take the bytes that the plan and `inspect` say", async () => {
    const planned = new CacheMemory(modelOfConfig(config, "random"), parseKvSpec(KV));
    const sequence = cache.createSequence();
    for (const [from, to] of [
      [0, 40],
      [40, 170],
      [170, 171],
    ] as const) {
      await read(sequence, from, to);
      expect(sequence.numBytes).toBe(planned.bytes(to));
      expect(cache.numBytes).toBe(sequence.numBytes);
    }
    sequence.release();
    const { out } = await runCommand(["inspect", "-m", "qwen3-1m", "--kv", "sign", "--json"]);
    const [layer] = JSON.parse(out).kv.layers;
    expect(layer).toMatchObject({ k: "sign", v: "sign", planesK: [1], pageTokens: 64 });
  });

  it("give the same logits in one go, in chunks and token by token, and others than exact ones", async () => {
    const expected = await logitsAfter(100);
    const sequence = cache.createSequence();
    await read(sequence, 0, 7);
    await read(sequence, 7, 99);
    expect(await read(sequence, 99, 100)).toEqual(expected);
    sequence.release();
    const exact = decoder.withFormat(parseKvSpec("f32"));
    const other = exact.createCache().createSequence();
    const logits = await new Runner(exact, { contextLength: 512 }).prefill(other, text.subarray(0, 100));
    other.release();
    exact.dispose();
    expect(logits).not.toEqual(expected);
  });

  it("fork, and cut back to what a fresh one has", async () => {
    const first = cache.createSequence();
    const markAt = first.markable(99);
    await runner.prefill(first, text.subarray(0, 100), { markAt });
    const fork = first.fork();
    await runner.prefill(first, [1, 2, 3]);
    expect(await read(fork, 100, 150)).toEqual(await logitsAfter(150));
    const kept = first.cutTo(markAt);
    expect(kept).toBe(99);
    expect(await read(first, kept, 150)).toEqual(await logitsAfter(150));
    first.release();
    fork.release();
  });

  it("save and restore to the byte", async () => {
    const sequence = cache.createSequence();
    await read(sequence, 0, 100);
    const file = await saveSequence(sequence, IDENTITY);
    sequence.release();
    const restored = restoreSequence(cache, file, IDENTITY).sequence;
    expect(await saveSequence(restored, IDENTITY)).toEqual(file);
    expect(await read(restored, 100, 150)).toEqual(await logitsAfter(150));
    restored.release();
    expect(() => restoreSequence(cache, file, { ...IDENTITY, kvSpec: "sign" })).toThrow("sign,sinks=2,window=24");
  });
});

describe("LLM.load", () => {
  it("answers over it on the reference backend", async () => {
    await using llm = await LLM.load(fakeCheckpoint(), { backend: "reference", kv: KV });
    const { text: answer, ...rest } = await collect(llm.generate("hello", { maxNewTokens: 3, temperature: 0 }));
    expect(typeof answer, JSON.stringify(rest)).toBe("string");
  });

  it("is refused by name on a backend without a part, before weights are read", async () => {
    const formats = [parseKvSpec("k4v4,v=sign").forLayer(0)];
    const refusal = (backend: string, other: string) => ({
      code: "unsupported",
      message: expect.stringMatching(
        new RegExp(`--kv sign: the ${backend} backend has no kernel for it; choose .*tqN.*--backend ${other}$`),
      ),
    });
    await expect(createBackend("wasm", { threads: 1, formats })).rejects.toMatchObject(refusal("wasm", "reference"));
    await expect(createBackend("auto", { threads: 1, formats })).rejects.toMatchObject(refusal("wasm", "reference"));
  });
});
