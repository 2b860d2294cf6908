/** @file Decode and prefill of a whole model on WebGPU, random weights in a public shape; rows as of hf_decode.py. */
import { makeShapeModel } from "../../src/bench/bench-model.ts";
import { benchThroughput } from "../../src/bench/throughput.ts";

export interface ModelOptions {
  readonly shape: string;
  readonly weights: "f16" | "bf16" | "q8";
  readonly kv: readonly string[];
  readonly depths: readonly number[];
  readonly generations: readonly number[];
  readonly prompts: readonly number[];
  readonly repeats: number;
}

export async function* measureModel(options: ModelOptions): AsyncGenerator<object> {
  const model = await makeShapeModel(options.shape, { backend: "webgpu", weights: options.weights });
  try {
    for await (const row of benchThroughput(model, { ...options, fill: "random" })) {
      const { median, min, max, spread } = row.tokPerSec;
      yield {
        kind: "model",
        engine: "turboquant",
        backend: model.ops.describe(),
        shape: options.shape,
        weights: options.weights,
        kv: row.kv,
        test: row.test,
        nPrompt: row.nPrompt,
        nGen: row.nGen,
        context: row.depth,
        tokPerSec: median,
        minTokPerSec: min,
        maxTokPerSec: max,
        spread,
        repeats: options.repeats,
        kvBytes: row.kvBytes,
      };
    }
  } finally {
    await model.dispose();
  }
}
