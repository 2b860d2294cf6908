/** @file What a device draws and what not, and that drawing takes no memory; what it draws is a contract (`test/contract/sampling.ts`). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { gaussians } from "../../../../test/support/wasm-backend.ts";
import type { Draw } from "../../sampling-ops.ts";
import { GpuBuf } from "../queue/buffers.ts";
import { canSample, GpuSampling } from "./gpu-sampler.ts";

const GREEDY: Draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };

describe.skipIf(gpuSkip)(`webgpu sampling${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  let sampling: GpuSampling;
  beforeAll(async () => {
    gpu = await openTestGpu();
    sampling = new GpuSampling(gpu.commands, gpu.allocator);
  });
  afterAll(() => {
    sampling.dispose();
    gpu.dispose();
  });

  it("streams use the buffers of closed ones, and nothing is allocated for a token", async () => {
    const vocab = 500;
    const buf = new GpuBuf(gpu.upload(gaussians(3, vocab)), vocab);
    const [a, b] = [
      sampling.createStream({ temperature: 1, topK: 8, topP: 1, minP: 0 }, vocab)!,
      sampling.createStream(GREEDY, vocab)!,
    ];
    let allocated = 0;
    for (let round = 0; round < 3; round++) {
      const samples = await Promise.all([...[0.1, 0.6].map((u) => a.sample(buf, 1, [u])), b.sample(buf, 1, [])]);
      const latest = [samples[1], samples[2]].map((drawn) => drawn![0]!.token);
      const words = await Promise.all(
        [a, b].map(async ({ tokens }) => new Uint32Array(await gpu.commands.read(tokens, 0, 4))),
      );
      expect(words.map(([token]) => token)).toEqual(latest);
      allocated ||= gpu.allocator.count;
      expect(gpu.allocator.count).toBe(allocated);
    }
    const used = [a.tokens, b.tokens];
    a.close();
    b.close();
    expect(used).toContain(sampling.createStream(GREEDY, vocab)!.tokens);
  });
});

describe("canSample", () => {
  it("says what is left to the host", () => {
    const draw = { temperature: 1, topK: 40, topP: 0.9, minP: 0.05 };
    expect(canSample(GREEDY, 262_144)).toBe(true);
    expect(canSample(draw, 151_936)).toBe(true);
    expect(canSample({ ...draw, topK: 64 }, 262_144)).toBe(true);
    expect(canSample({ ...draw, topK: 1000 }, 60)).toBe(true);
    expect(canSample({ ...draw, topK: 65 }, 151_936)).toBe(false);
    expect(canSample({ ...draw, topK: 64 }, 262_145)).toBe(false);
    expect(canSample({ ...draw, topK: 0 }, 151_936)).toBe(false);
    expect(canSample({ ...draw, temperature: 1e-6 }, 151_936)).toBe(false);
    expect(canSample(GREEDY, 2 ** 24)).toBe(false);
  });
});
