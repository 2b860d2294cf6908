/** @file Decode and prefill of a whole model on WebGPU, random weights in a public shape; rows as of hf_decode.py. */
import { makeShapeModel } from "../../src/bench/bench-model.ts";
import { benchThroughput } from "../../src/bench/throughput.ts";
import { withCalibrations } from "./calibrated.ts";

const WARM_UP_MS = 12_000;

export interface ModelOptions {
  readonly shape: string;
  readonly weights: "f16" | "bf16" | "q8" | "q4";
  readonly kv: readonly string[];
  readonly depths: readonly number[];
  readonly generations: readonly number[];
  readonly prompts: readonly number[];
  readonly repeats: number;
  readonly isCalibrated?: boolean;
}

export async function* measureModel(options: ModelOptions): AsyncGenerator<object> {
  const plain = await makeShapeModel(options.shape, { backend: "webgpu", weights: options.weights });
  const model = options.isCalibrated ? withCalibrations(plain) : plain;
  try {
    // Drivers go on optimising kernels in the background while they run; what is quoted is what they settle at.
    const warmUp = { ...options, depths: [16], generations: [64], prompts: options.prompts.map(() => 512), repeats: 3 };
    for (const started = performance.now(); performance.now() - started < WARM_UP_MS; ) {
      for await (const _ of benchThroughput(model, { ...warmUp, fill: "random" }));
    }
    for await (const row of benchThroughput(model, { ...options, fill: "random" })) {
      const { median, min, max, spread } = row.tokPerSec;
      yield {
        kind: "model",
        engine: "turboquant",
        backend: model.ops.describe(),
        shape: options.shape,
        weights: options.weights,
        kv: row.kv,
        ...(options.isCalibrated && { isCalibrated: true }),
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
