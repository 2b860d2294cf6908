/** @file Contract of drawing tokens on a device: the host's sampler is the rule, token by token for the same random numbers. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Buf, Ops } from "../../src/backends/ops.ts";
import type { DeviceSample, DeviceSampling, Draw } from "../../src/backends/sampling-ops.ts";
import { drawToken, Sampler } from "../../src/engine/sampler.ts";
import { parseSamplingConfig } from "../../src/engine/sampling-params.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { isThorough } from "../support/optional.ts";
import { download, gaussians, partOf, stepOf, upload } from "../support/wasm-backend.ts";
import { tolerance } from "../tolerances.ts";
import type { Target } from "./target.ts";

const GREEDY: Draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** One thread, one workgroup and one chunk of logits, each a little more and less, and the vocabulary of Qwen3. */
const VOCABS = [1, 2, 63, 255, 257, 1023, 1025, 4097, 32_000, 151_936];

/** Temperature, top-k, top-p and min-p, alone and together, and each where it leaves one token. */
const DRAWS: readonly Draw[] = [
  { temperature: 1, topK: 40, topP: 1, minP: 0 },
  { temperature: 0.6, topK: 20, topP: 0.95, minP: 0 },
  { temperature: 2, topK: 64, topP: 0.4, minP: 0.01 },
  { temperature: 0.8, topK: 1, topP: 0.5, minP: 0 },
  { temperature: 1, topK: 33, topP: 0, minP: 0 },
  { temperature: 1, topK: 33, topP: 1, minP: 1 },
];

function onHost(logits: Float32Array, draw: Draw, uniform: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b));
  return draw.temperature === 0 ? logits.indexOf(most) : drawToken(logits, most, draw, uniform);
}

/** Gaussian logits of spread 3, as trained models have them; coarse ones repeat many values. */
function randomLogits(length: number, seed: number, coarse = false): Float32Array {
  const rng = new CounterRng(seed, 0x10617);
  return Float32Array.from({ length }, (_, i) => {
    const value = 3 * rng.gaussian(i);
    return coarse ? Math.round(value) : value;
  });
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.length * rows[0]!.length);
  for (const [i, row] of rows.entries()) all.set(row, i * row.length);
  return all;
}

/**
 * selection: how candidates are found is all that the target has of its own, so greedy choices, sums and large vocabularies are left
 * to the target that it shares them with
 */
export function samplingContract({ open }: Target, only?: "selection"): void {
  const vocabs = only ? VOCABS.filter((vocab) => vocab < 10_000) : VOCABS;
  let ops: Ops;
  let sampling: DeviceSampling;
  beforeAll(async () => {
    ops = await open();
    sampling = ops.sampling!;
  });
  afterAll(() => ops?.dispose());

  async function drawFrom(logits: Buf, vocab: number, draw: Draw, uniforms: readonly number[], first = 0) {
    const stream = sampling.createStream(draw, vocab)!;
    const samples = await stream.sample(logits, uniforms.length, uniforms, first);
    stream.close();
    return samples;
  }
  /** Draws once from each row. */
  async function sample(rows: readonly Float32Array[], draw: Draw, uniforms: readonly number[]) {
    const logits = upload(ops, joined(rows));
    const samples = await drawFrom(logits, rows[0]!.length, draw, uniforms);
    ops.free(logits);
    return samples;
  }
  const sampleOne = async (logits: Float32Array, draw: Draw, uniform = 0): Promise<DeviceSample> =>
    (await sample([logits], draw, [uniform]))[0]!;

  it.skipIf(only)("greedy takes the host's token and its log-probability", async () => {
    for (const vocab of vocabs) {
      const rows = [1, 2, 3].map((seed) => randomLogits(vocab, seed, seed > 1));
      const samples = await sample(rows, GREEDY, [0, 0, 0]);
      for (const [i, row] of rows.entries()) {
        const host = new Sampler(parseSamplingConfig({})).sample(row, []);
        expect(samples[i]!.token, `row ${i} of ${vocab}`).toBe(host.token);
        expect(Math.abs(samples[i]!.logprob - host.logprob!)).toBeLessThan(tolerance.deviceLogprob.max);
      }
    }
  });

  it.skipIf(only)("greedy: equal values go to the lowest token, both zeros are equal, extremes in order", async () => {
    const flat = new Float32Array(5000).fill(-7);
    expect((await sampleOne(flat, GREEDY)).token).toBe(0);
    flat[4321] = 2;
    flat[4999] = 2;
    expect((await sampleOne(flat, GREEDY)).token).toBe(4321);
    const zeros = new Float32Array(300).fill(-1);
    zeros[100] = -0;
    zeros[200] = 0;
    expect((await sampleOne(zeros, GREEDY)).token).toBe(100);
    // A device may take smaller ones for zero.
    const tiny = 2 ** -126;
    expect((await sampleOne(Float32Array.of(-tiny, 0, tiny, -1), GREEDY)).token).toBe(2);
    expect((await sampleOne(Float32Array.of(-3.4e38, -3.3e38, -3.4e38), GREEDY)).token).toBe(1);
  });

  it("draws the host's token for the same random number", async () => {
    const rng = new CounterRng(5, 1);
    for (const [n, vocab] of vocabs.entries()) {
      // Large ones differ in the number of chunks alone: values that repeat and the edges of the cuts are in the small ones.
      const isLarge = vocab > 10_000 && !isThorough;
      const rows = isLarge ? [randomLogits(vocab, 1)] : [randomLogits(vocab, 1), randomLogits(vocab, 2, true)];
      const logits = upload(ops, joined(rows));
      for (const draw of isThorough ? DRAWS : isLarge ? DRAWS.slice(0, 2) : DRAWS.filter((_, i) => (n + i) % 2)) {
        const uniforms = rows.map((_, i) => rng.uniform(i + draw.topK * 7 + vocab));
        const samples = await drawFrom(logits, vocab, draw, uniforms);
        for (const [i, row] of rows.entries()) {
          const note = JSON.stringify({ vocab, i, ...draw });
          expect(samples[i]!.token, note).toBe(onHost(row, draw, uniforms[i]!));
        }
      }
      ops.free(logits);
    }
  });

  it("draws from rows in the middle of the logits", async () => {
    const vocab = 300;
    const rows = [1, 2, 3, 4].map((seed) => randomLogits(vocab, seed));
    rows[2]![7] = Number.NaN;
    const logits = upload(ops, joined(rows));
    for (const draw of [GREEDY, DRAWS[0]!]) {
      const [first, second, third] = await drawFrom(logits, vocab, draw, [0.1, 0.5, 0.9], 1);
      expect(first!.token).toBe(onHost(rows[1]!, draw, 0.1));
      expect(second!.notFinite).toEqual({ token: 7, value: Number.NaN });
      expect(third!.token).toBe(onHost(rows[3]!, draw, 0.9));
    }
    ops.free(logits);
  });

  it.skipIf(only)("draws from many rows, each with its own random number", async () => {
    const [vocab, rows] = [5, 100];
    expect(sampling.maxRows).toBeGreaterThanOrEqual(rows);
    const rng = new CounterRng(6, 1);
    const logits = Array.from({ length: rows }, (_, row) => randomLogits(vocab, row));
    const uniforms = logits.map((_, row) => rng.uniform(row));
    for (const draw of [GREEDY, { temperature: 1, topK: 4, topP: 1, minP: 0 }]) {
      const tokens = (await sample(logits, draw, uniforms)).map(({ token }) => token);
      expect(tokens).toEqual(logits.map((row, i) => onHost(row, draw, uniforms[i]!)));
    }
  });

  it("draws from the ends of the interval", async () => {
    const logits = randomLogits(1000, 9);
    const draw = { temperature: 1, topK: 50, topP: 1, minP: 0 };
    for (const uniform of [0, 2 ** -32, 0.5, 1 - 2 ** -32]) {
      expect((await sampleOne(logits, draw, uniform)).token).toBe(onHost(logits, draw, uniform));
    }
    // Colder than f32 can tell apart, and so far apart that all but one weight vanish.
    expect((await sampleOne(logits, { ...draw, temperature: 1e-4 }, 0.999)).token).toBe(onHost(logits, GREEDY, 0));
    const steep = Float32Array.of(3e38, -3e38, 0, 3e38);
    expect((await sampleOne(steep, draw, 0.4)).token).toBe(0);
    expect((await sampleOne(steep, draw, 0.6)).token).toBe(3);
  });

  it.skipIf(only)("differs from the host at the edges of an f32 sum only", async () => {
    const rows = 48;
    const rounds = isThorough ? 25 : 8;
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
        const [one, all] = await sample([logits, new Float32Array(3000).fill(bad)], draw, [0.3, 0.3]);
        expect(one!.notFinite).toEqual({ token: 1700, value: bad });
        expect(all!.notFinite).toEqual({ token: 0, value: bad });
        for (const { token } of [one!, all!]) expect(token).toBeLessThan(3000);
      }
    }
  });

  it("several draws in flight arrive in order, and each stream's latest tokens are embedded", async () => {
    const vocab = 50;
    const draw = { temperature: 1, topK: 8, topP: 1, minP: 0 };
    const row = randomLogits(vocab, 3);
    const [logits, cols] = [upload(ops, row), 5];
    const values = gaussians(8, vocab * cols);
    const [table, out] = [ops.loadWeight([partOf(values, cols)], "f32"), ops.alloc(cols)];
    const streams = [sampling.createStream(draw, vocab)!, sampling.createStream(GREEDY, vocab)!];
    const uniforms = [0.1, 0.6, 0.97];
    const drawn = uniforms.map((u) => streams[0]!.sample(logits, 1, [u]));
    const greedyOne = streams[1]!.sample(logits, 1, []);
    const embedded: Promise<Float32Array>[] = [];
    for (const stream of streams) {
      const step = { ...stepOf([0]), tokensFrom: stream };
      ops.beginStep(step, []);
      ops.embed(step, table, out);
      embedded.push(download(ops, out as Buf));
    }
    expect((await Promise.all(drawn)).map(([s]) => s!.token)).toEqual(uniforms.map((u) => onHost(row, draw, u)));
    expect((await greedyOne)[0]!.token).toBe(onHost(row, GREEDY, 0));
    for (const [i, token] of [onHost(row, draw, 0.97), onHost(row, GREEDY, 0)].entries()) {
      expect(await embedded[i]).toEqual(values.subarray(token * cols, (token + 1) * cols));
      streams[i]!.close();
    }
  });

  it("leaves what it cannot draw to the host", () => {
    expect(sampling.createStream({ ...DRAWS[0]!, topK: 0 }, 100)).toBeNull();
    expect(sampling.createStream({ ...DRAWS[0]!, topK: 1000 }, 100_000)).toBeNull();
  });
}
