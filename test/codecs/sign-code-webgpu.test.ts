/** @file The made-up sign code on WebGPU, with a part that is registered there: the reference's pages and its logits. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { registerWgslCodec } from "../../src/backends/webgpu/codec/registry.ts";
import { createBackend } from "../../src/engine/create-backend.ts";
import { Runner } from "../../src/engine/runner.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { Decoder } from "../../src/models/decoder.ts";
import { RandomCheckpoint } from "../../src/models/random-weights.ts";
import { registerCodec } from "../../src/quant/codecs/registry.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "../support/gpu.ts";
import { relativeError } from "../support/wasm-backend.ts";
import { signCodec } from "./sign-code/sign-codec.ts";
import { signText } from "./sign-code/sign-text.ts";

registerCodec(signCodec);
registerWgslCodec("sign", signText);

const json = {
  model_type: "qwen3",
  hidden_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 24,
  intermediate_size: 48,
  vocab_size: 97,
  max_position_embeddings: 512,
};
const config = parseModelConfig(json, "config.json");
const kv = parseKvSpec("sign");
const text = Int32Array.from({ length: 70 }, (_, i) => (i * 37 + ((i * i) % 11)) % 97);

/** Logits of a prompt and of a token after it, and the first page. */
async function run(ops: Ops): Promise<{ logits: Float32Array[]; page: Uint8Array }> {
  const decoder = await Decoder.load(ops, new RandomCheckpoint(json, "random"), { config, kv, weights: "f32" });
  const cache = decoder.createCache();
  const sequence = cache.createSequence();
  const runner = new Runner(decoder, { contextLength: 128 });
  const logits = [await runner.prefill(sequence, text), await runner.prefill(sequence, [5])];
  const page = await ops.pages.read(sequence.main(0).get(0), cache.layers[0]!.main.numBytes);
  sequence.release();
  decoder.dispose();
  return { logits, page };
}

describe.skipIf(gpuSkip)("the sign code on WebGPU", () => {
  let gpu: Ops;
  beforeAll(async () => {
    gpu = await createBackend("webgpu", { formats: [kv.forLayer(0)] });
  }, GPU_TIMEOUT_MS);
  afterAll(() => gpu?.dispose());

  it(
    "prompts and single tokens read what was stored",
    async () => {
      const expected = await run(createReferenceBackend());
      const actual = await run(gpu);
      expect(actual.page).toEqual(expected.page);
      actual.logits.forEach((logits, i) => {
        expect(relativeError(logits, expected.logits[i]!)).toBeLessThan(1e-3);
      });
    },
    GPU_TIMEOUT_MS,
  );
});
