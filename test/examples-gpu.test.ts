/** @file The example of a transformer in WGSL runs as it stands, and has the engine's logits over the same cache. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import "../src/node/install.ts";
import { type AttentionCache, type CachedSequence, LLM } from "../src/index.ts";
import { bundledExample } from "./support/example.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { checkpointPath } from "./support/shared.ts";
import { relativeError } from "./support/wasm-backend.ts";

interface Transformer {
  readonly cache: AttentionCache;
  next(sequence: CachedSequence, token: number): Promise<Float32Array>;
}

/** Of this many tokens some are read as codes. Codes are not searched for, which takes a GPU in software long. */
const [TOKENS, KV] = [9, "k4v4,search=off,sinks=2,window=4,window=16bit,calibration=off"];

it.skipIf(gpuSkip)("examples/own-transformer-gpu has the engine's logits", { timeout: GPU_TIMEOUT_MS }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "example-gpu-"));
  try {
    const program = await bundledExample("own-transformer-gpu/transformer.ts", folder);
    const { Transformer } = (await import(pathToFileURL(program).href)) as {
      Transformer: { load(folder: string, kv: string): Promise<Transformer> };
    };
    const transformer = await Transformer.load(checkpointPath("qwen3-1m")!, KV);
    await using _ = transformer.cache;
    await using llm = await LLM.load("qwen3-1m", { kv: KV, backend: "wasm", threads: 1, weights: "f32" });
    const sequence = transformer.cache.createSequence();
    const own = llm.cache.createSequence();
    const tokens = Array.from(llm.tokenizer.encode("Once upon a time there was a little girl who lived in a house"));
    for (const token of tokens.slice(0, TOKENS)) {
      const logits = await transformer.next(sequence, token);
      const expected = await llm.runner.step([{ sequence: own, tokens: [token], logits: "last" }]);
      expect(relativeError(logits, expected)).toBeLessThan(1e-3);
    }
    expect(sequence.length).toBe(TOKENS);
    own.release();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
