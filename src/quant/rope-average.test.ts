import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { LayerMoments } from "./layer-moments.ts";
import { mirrored } from "./outer-sum.ts";
import { RopeAverage, turnsOf } from "./rope-average.ts";

const D = 8;
const HALF = D / 2;
/** The last pair is not turned. */
const INV_FREQ = Float64Array.from([1, 0.21, 0.013, 0]);
const rng = new CounterRng(7, 7);
let drawn = 0;
const random = (length: number): Float64Array => Float64Array.from({ length }, () => rng.gaussian(drawn++));

/** RoPE as Llama has it, pair by pair. */
function turned(x: ArrayLike<number>, position: number): Float64Array {
  const out = new Float64Array(D);
  for (let j = 0; j < HALF; j++) {
    const angle = position * INV_FREQ[j]!;
    out[j] = x[j]! * Math.cos(angle) - x[j + HALF]! * Math.sin(angle);
    out[j + HALF] = x[j]! * Math.sin(angle) + x[j + HALF]! * Math.cos(angle);
  }
  return out;
}

const outer = (x: Float64Array): Float64Array =>
  Float64Array.from({ length: D * D }, (_, at) => x[Math.floor(at / D)]! * x[at % D]!);
const mean = (all: readonly Float64Array[]): Float64Array =>
  all[0]!.map((_, i) => all.reduce((sum, x) => sum + x[i]!, 0) / all.length);
const farthest = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("RopeAverage", () => {
  const vectors = Array.from({ length: 3 }, () => random(D));

  it("is what turning vectors to every position gives, mean and second moment", () => {
    for (const length of [1, 2, 50, 777]) {
      const average = new RopeAverage(INV_FREQ, [length]);
      const all = vectors.flatMap((x) => Array.from({ length }, (_, position) => turned(x, position)));
      expect(farthest(average.mean(mean(vectors)), mean(all))).toBeLessThan(1e-12);
      const moment = average.secondMoment(mean(vectors.map(outer)));
      expect(farthest(moment, mean(all.map(outer)))).toBeLessThan(1e-12);
    }
  });

  it("counts several lengths alike", () => {
    const both = new RopeAverage(INV_FREQ, [10, 300]);
    const [first, second] = [10, 300].map((length) => new RopeAverage(INV_FREQ, [length])) as [
      RopeAverage,
      RopeAverage,
    ];
    const moment = mean(vectors.map(outer));
    const expected = mean([first.secondMoment(moment), second.secondMoment(moment)]);
    expect(farthest(both.secondMoment(moment), expected)).toBeLessThan(1e-12);
  });
});

describe("LayerMoments", () => {
  const tokens = 150;
  const shape = { numHeads: 4, numKvHeads: 2, headDim: D, valueDim: D };
  const rows = (heads: number) => Float32Array.from(random(tokens * heads * D));
  const plain = { queries: rows(4), keys: rows(2), values: rows(2) };
  const row = (x: Float32Array, heads: number, token: number, head: number): Float64Array =>
    Float64Array.from(x.subarray((token * heads + head) * D, (token * heads + head + 1) * D));

  it("are sums over all tokens but the first four, of a group's queries together", () => {
    const moments = new LayerMoments(shape);
    // In two steps, of which the first ends among the tokens that are left out.
    const part = (x: Float32Array, heads: number, from: number, to: number) =>
      x.subarray(from * heads * D, to * heads * D);
    for (const [from, to] of [
      [0, 3],
      [3, tokens],
    ] as const) {
      const { queries, keys, values } = plain;
      const step = {
        queries: part(queries, 4, from, to),
        keys: part(keys, 2, from, to),
        values: part(values, 2, from, to),
      };
      moments.add(step, from, null);
    }
    const counted = Array.from({ length: tokens - 4 }, (_, i) => i + 4);
    const sums = (x: Float32Array, heads: number, own: readonly number[]): Float64Array =>
      mean(counted.flatMap((token) => own.map((head) => outer(row(x, heads, token, head))))).map(
        (v) => v * counted.length * own.length,
      );
    const { count, keySum, keys, values, queries } = moments.heads[1]!;
    expect(count).toBe(tokens - 4);
    expect(farthest(mirrored(keys, D), sums(plain.keys, 2, [1]))).toBeLessThan(1e-9);
    expect(farthest(mirrored(values, D), sums(plain.values, 2, [1]))).toBeLessThan(1e-9);
    expect(farthest(mirrored(queries, D), sums(plain.queries, 4, [2, 3]))).toBeLessThan(1e-9);
    const keyMean = mean(counted.map((token) => row(plain.keys, 2, token, 1)));
    expect(
      farthest(
        keySum.map((x) => x / count),
        keyMean,
      ),
    ).toBeLessThan(1e-12);
  });

  it("turn queries and keys back to what they were before RoPE", () => {
    const first = 20;
    const behind = (x: Float32Array, heads: number): Float32Array =>
      Float32Array.from(
        Array.from({ length: tokens * heads }, (_, at) => {
          const token = Math.floor(at / heads);
          return [...turned(row(x, heads, token, at % heads), first + token)];
        }).flat(),
      );
    const [before, back] = [new LayerMoments(shape), new LayerMoments(shape)];
    before.add(plain, first, null);
    const turns = turnsOf(INV_FREQ, first, tokens);
    back.add({ ...plain, queries: behind(plain.queries, 4), keys: behind(plain.keys, 2) }, first, turns);
    for (const [h, head] of back.heads.entries()) {
      const expected = before.heads[h]!;
      expect(farthest(head.keys, expected.keys)).toBeLessThan(1e-4);
      expect(farthest(head.queries, expected.queries)).toBeLessThan(1e-4);
      expect(farthest(head.keySum, expected.keySum)).toBeLessThan(1e-4);
      expect(head.values).toEqual(expected.values);
    }
  });
});
