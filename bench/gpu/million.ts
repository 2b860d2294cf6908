/**
 * @file A model of Qwen3-32B's shape with random weights and a cache of up to a million tokens on one device: what fits, what it takes
 * and how fast it decodes and reads on. `million` of main.ts.
 */
import { makeShapeModel } from "../../src/bench/bench-model.ts";
import { benchThroughput } from "../../src/bench/throughput.ts";
import { usedDeviceBytes } from "./used-device-bytes.ts";

const SHAPE = "qwen3-32b";
const TESTS = { generations: [16], prompts: [512], repeats: 5, fill: "random" } as const;
/** Tokens of f16 that fit beside the weights on a device of 140 GB. */
const LONGEST_F16 = 262_144;

export async function* measureMillion(depths: readonly number[]): AsyncGenerator<object> {
  const started = performance.now();
  const model = await makeShapeModel(SHAPE, { backend: "webgpu", weights: "f16" });
  try {
    const loaded = { weightBytes: model.weightBytes, deviceBytes: usedDeviceBytes() };
    yield {
      kind: "million-load",
      shape: SHAPE,
      weights: "f16",
      ...loaded,
      seconds: (performance.now() - started) / 1000,
    };
    for (const kv of ["k4v4", "f16"]) {
      const fitting = depths.filter((depth) => kv !== "f16" || depth <= LONGEST_F16);
      try {
        for await (const row of benchThroughput(model, { ...TESTS, depths: fitting, kv: [kv] })) {
          const { median, min, max } = row.tokPerSec;
          const speed = { tokPerSec: median, minTokPerSec: min, maxTokPerSec: max };
          const { test, depth: context, kvBytes } = row;
          yield {
            kind: "million",
            shape: SHAPE,
            weights: "f16",
            kv,
            test,
            context,
            ...speed,
            kvBytes,
            deviceBytes: usedDeviceBytes(),
          };
        }
      } catch (error) {
        yield { kind: "million", kv, error: String(error) };
      }
    }
  } finally {
    await model.dispose();
  }
}
