import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { isThorough } from "../../../../test/support/optional.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { drawToken, Sampler } from "../../../engine/sampler.ts";
import { parseSamplingConfig } from "../../../engine/sampling-params.ts";
import { CounterRng } from "../../../math/rng.ts";
import type { DeviceSample, Draw } from "../../ops.ts";
import { GpuBuf } from "../queue/buffers.ts";
import { canSample, GpuSampling } from "./gpu-sampler.ts";

const GREEDY: Draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** One thread, one workgroup and one chunk of logits, each a little more and less, and the vocabulary of Qwen3. */
const VOCABS = [1, 2, 63, 255, 257, 1023, 1025, 4097, 32_000, 151_936];

const DRAWS: readonly Draw[] = [
  { temperature: 1, topK: 40, topP: 1, minP: 0 },
  { temperature: 0.6, topK: 20, topP: 0.95, minP: 0 },
  { temperature: 2, topK: 64, topP: 0.4, minP: 0.01 },
  { temperature: 0.8, topK: 1, topP: 0.5, minP: 0 },
  { temperature: 1, topK: 33, topP: 0, minP: 0 },
  { temperature: 1, topK: 33, topP: 1, minP: 1 },
];

const onHost = (logits: Float32Array, draw: Draw, uniform: number): number =>
  draw.temperature === 0
    ? logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))
    : drawToken(
        logits,
        logits.reduce((a, b) => Math.max(a, b)),
        draw,
        uniform,
      );

/** Gaussian logits of spread 3, as trained models have them; coarse ones repeat many values. */
function randomLogits(length: number, seed: number, coarse = false): Float32Array {
  const rng = new CounterRng(seed, 0x10617);
  return Float32Array.from({ length }, (_, i) => {
    const value = 3 * rng.gaussian(i);
    return coarse ? Math.round(value) : value;
  });
}

// Not `for`: with it, vitest runs the hooks of a suite that it skips.
describe.skipIf(gpuSkip).each(["with", "without"] as const)(
  `webgpu sampling, %s subgroups${gpuSkip ? ` (${gpuSkip})` : ""}`,
  (subgroups) => {
    let gpu: TestGpu;
    let sampling: GpuSampling;
    beforeAll(async () => {
      gpu = await openTestGpu(subgroups === "with" ? {} : { without: ["subgroups"] });
      sampling = new GpuSampling(gpu.commands, gpu.allocator);
    });
    afterAll(() => {
      sampling.dispose();
      gpu.dispose();
    });

    /** Draws once from each row. */
    async function sample(rows: readonly Float32Array[], draw: Draw, uniforms: readonly number[]) {
      const vocab = rows[0]!.length;
      const all = new Float32Array(vocab * rows.length);
      for (const [i, row] of rows.entries()) all.set(row, i * vocab);
      const buffer = gpu.upload(all);
      const stream = sampling.createStream(draw, vocab)!;
      const samples = await stream.sample(new GpuBuf(buffer, all.length), rows.length, uniforms);
      const words = new Uint32Array(await gpu.commands.read(stream.tokens, 0, rows.length * 16));
      expect(
        samples.map((s) => s.token),
        "what embed reads",
      ).toEqual(rows.map((_, r) => words[r * 4]));
      stream.close();
      gpu.allocator.free(buffer);
      return samples;
    }
    const sampleOne = async (logits: Float32Array, draw: Draw, uniform = 0): Promise<DeviceSample> =>
      (await sample([logits], draw, [uniform]))[0]!;

    it("greedy takes the host's token and its log-probability", async () => {
      for (const vocab of VOCABS) {
        for (const coarse of [false, true]) {
          const rows = [1, 2, 3].map((seed) => randomLogits(vocab, seed, coarse));
          const host = rows.map((row) => new Sampler(parseSamplingConfig({})).sample(row, []));
          for (const [i, { token, logprob }] of (await sample(rows, GREEDY, [])).entries()) {
            expect(token, `row ${i} of ${vocab}, coarse ${coarse}`).toBe(host[i]!.token);
            expect(Math.abs(logprob - host[i]!.logprob!)).toBeLessThan(tolerance.deviceLogprob.max);
          }
        }
      }
    });

    it("greedy: equal values go to the lowest token, both zeros are equal, extremes keep their order", async () => {
      const flat = new Float32Array(5000).fill(-7);
      expect((await sampleOne(flat, GREEDY)).token).toBe(0);
      flat[4321] = 2;
      flat[4999] = 2;
      expect((await sampleOne(flat, GREEDY)).token).toBe(4321);
      const zeros = new Float32Array(300).fill(-1);
      zeros[100] = -0;
      zeros[200] = 0;
      expect((await sampleOne(zeros, GREEDY)).token).toBe(100);
      const tiny = 2 ** -149;
      expect((await sampleOne(Float32Array.of(-tiny, 0, tiny, -1), GREEDY)).token).toBe(2);
      expect((await sampleOne(Float32Array.of(-3.4e38, -3.3e38, -3.4e38), GREEDY)).token).toBe(1);
    });

    it("draws the host's token for the same uniform number", async () => {
      const rng = new CounterRng(5, 1);
      for (const vocab of VOCABS) {
        for (const coarse of [false, true]) {
          // Large ones differ in the number of chunks alone: values that repeat and the edges of the cuts are in the small ones. Subgroups
          // have to do with what happens within a chunk.
          const isLarge = vocab > 10_000 && !isThorough;
          if (isLarge && (coarse || subgroups === "without")) continue;
          const rows = (isLarge ? [1] : [1, 2]).map((seed) => randomLogits(vocab, seed, coarse));
          for (const draw of isLarge ? DRAWS.slice(0, 3) : DRAWS) {
            const uniforms = rows.map((_, i) => rng.uniform(i + draw.topK * 7 + vocab));
            const samples = await sample(rows, draw, uniforms);
            for (const [i, row] of rows.entries()) {
              expect(samples[i]!.token, JSON.stringify({ vocab, coarse, i, ...draw })).toBe(
                onHost(row, draw, uniforms[i]!),
              );
            }
          }
        }
      }
    });

    it("draws from rows in the middle of the logits", async () => {
      const vocab = 300;
      const rows = [1, 2, 3, 4].map((seed) => randomLogits(vocab, seed));
      rows[2]![7] = Number.NaN;
      const all = new Float32Array(vocab * rows.length);
      for (const [i, row] of rows.entries()) all.set(row, i * vocab);
      const buffer = gpu.upload(all);
      for (const draw of [GREEDY, DRAWS[0]!]) {
        const stream = sampling.createStream(draw, vocab)!;
        const [first, second, third] = await stream.sample(new GpuBuf(buffer, all.length), 3, [0.1, 0.5, 0.9], 1);
        expect(first!.token).toBe(onHost(rows[1]!, draw, 0.1));
        expect(second!.notFinite).toEqual({ token: 7, value: Number.NaN });
        expect(third!.token).toBe(onHost(rows[3]!, draw, 0.9));
        stream.close();
      }
      gpu.allocator.free(buffer);
    });

    it("draws from the ends of the interval", async () => {
      const logits = randomLogits(1000, 9);
      const draw = { temperature: 1, topK: 50, topP: 1, minP: 0 };
      for (const uniform of [0, 2 ** -32, 0.5, 1 - 2 ** -32]) {
        const { token } = await sampleOne(logits, draw, uniform);
        expect(token).toBe(onHost(logits, draw, uniform));
      }
      // Colder than f32 can tell apart, and so far apart that all but one weight vanish.
      expect((await sampleOne(logits, { ...draw, temperature: 1e-4 }, 0.999)).token).toBe(onHost(logits, GREEDY, 0));
      const steep = Float32Array.of(3e38, -3e38, 0, 3e38);
      expect((await sampleOne(steep, draw, 0.4)).token).toBe(0);
      expect((await sampleOne(steep, draw, 0.6)).token).toBe(3);
    });

    it("differs from the host at the edges of an f32 sum only", async () => {
      const rows = 48;
      // Subgroups find the candidates; these sums are the same text without them.
      const rounds = subgroups === "with" || isThorough ? 25 : 8;
      const draw = { temperature: 1.2, topK: 64, topP: 0.9, minP: 0 };
      const rng = new CounterRng(77, 2);
      let different = 0;
      for (let round = 0; round < rounds; round++) {
        const logits = Array.from({ length: rows }, (_, r) => randomLogits(70, round * rows + r));
        const uniforms = logits.map((_, r) => rng.uniform(round * rows + r));
        const samples = await sample(logits, draw, uniforms);
        different += samples.filter((s, r) => s.token !== onHost(logits[r]!, draw, uniforms[r]!)).length;
      }
      expect(different / (rows * rounds)).toBeLessThanOrEqual(tolerance.deviceDraw.max);
    });

    it("names the first logit that is not finite and still chooses a token", async () => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (const draw of [GREEDY, { temperature: 1, topK: 10, topP: 0.9, minP: 0 }]) {
          const logits = randomLogits(3000, 4);
          logits[2500] = bad;
          logits[1700] = bad;
          const { token, notFinite } = await sampleOne(logits, draw, 0.3);
          expect(notFinite).toEqual({ token: 1700, value: bad });
          expect(token).toBeLessThan(3000);
          const all = await sampleOne(new Float32Array(3000).fill(bad), draw, 0.3);
          expect(all.notFinite).toEqual({ token: 0, value: bad });
          expect(all.token).toBeLessThan(3000);
        }
      }
    });

    it("several in flight arrive in order, streams keep their tokens, and nothing is allocated for a token", async () => {
      const vocab = 500;
      const draw = { temperature: 1, topK: 8, topP: 1, minP: 0 };
      const logits = randomLogits(vocab, 3);
      const buf = new GpuBuf(gpu.upload(logits), vocab);
      const [a, b] = [sampling.createStream(draw, vocab)!, sampling.createStream(GREEDY, vocab)!];
      let allocated = 0;
      for (let round = 0; round < 3; round++) {
        const uniforms = [0.1, 0.6, 0.97];
        const drawn = uniforms.map((u) => a.sample(buf, 1, [u]));
        const greedy = b.sample(buf, 1, []);
        expect((await Promise.all(drawn)).map(([s]) => s!.token)).toEqual(uniforms.map((u) => onHost(logits, draw, u)));
        expect((await greedy)[0]!.token).toBe(onHost(logits, GREEDY, 0));
        const words = new Uint32Array(await gpu.commands.read(a.tokens, 0, 4));
        expect(words[0]).toBe(onHost(logits, draw, 0.97));
        allocated ||= gpu.allocator.count;
        expect(gpu.allocator.count).toBe(allocated);
      }
      const used = [a.tokens, b.tokens];
      a.close();
      b.close();
      expect(used).toContain(sampling.createStream(draw, vocab)!.tokens);
    });
  },
);

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
