import { describe, expect, it } from "vitest";
import { type RopeConfig, ropeFor, yarnAttentionFactor } from "./rope.ts";

// f64 on both sides; only the order of a few operations differs.
const near = (actual: number, expected: number): void => {
  expect(Math.abs(actual / expected - 1)).toBeLessThan(1e-12);
};
const allNear = (actual: Float64Array, expected: readonly number[]): void => {
  for (const [i, value] of expected.entries()) near(actual[i]!, value);
};
const frequencies = (headDim: number, rope: RopeConfig, seqLen = 0) => ropeFor({ headDim, rope }, seqLen).rope.invFreq;

describe("ropeFor", () => {
  it("default: theta^(-2i/d)", () => {
    const { rope, upTo } = ropeFor({ headDim: 8, rope: { type: "default", theta: 10_000 } }, 0);
    allNear(rope.invFreq, [1, 0.1, 0.01, 0.001]);
    expect(rope.invFreq.length).toBe(4);
    expect(rope.attentionFactor).toBe(1);
    expect(upTo).toBe(Infinity);
  });

  it("linear: every frequency divided", () => {
    const f = frequencies(8, { type: "linear", theta: 10_000, factor: 4 });
    allNear(f, [0.25, 0.025, 0.0025, 0.00025]);
  });

  it("dynamic: the base grows with the sequence, from the trained length on", () => {
    const rope: RopeConfig = { type: "dynamic", theta: 10_000, factor: 2, originalMaxPosition: 2048 };
    const short = ropeFor({ headDim: 8, rope }, 100);
    allNear(short.rope.invFreq, [1, 0.1, 0.01, 0.001]);
    expect(short.upTo).toBe(2048);
    // At twice the length the growth is 2·2 − 1 = 3 and theta · 3^(8/6): pair i is slower by 3^(i/3).
    const long = ropeFor({ headDim: 8, rope }, 4096);
    allNear(long.rope.invFreq, [1, 0.1 / Math.cbrt(3), 0.01 / Math.cbrt(9), 0.001 / 3]);
    expect(long.upTo).toBe(4096);
  });

  it("llama3: Llama 3.2 1B's frequencies by band", () => {
    const f = frequencies(64, {
      type: "llama3",
      theta: 500_000,
      factor: 32,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPosition: 8192,
    });
    // Wavelengths: pair 14 is 1,956 tokens (< 8192/4: kept), 15 to 17 lie between, 18 is 10,089 (> 8192: divided by 32).
    const expected: Record<number, number> = {
      0: 1,
      12: 0.007292664737217109,
      14: 0.003211445994752591,
      15: 0.001290547928209264,
      16: 0.00042955679655936815,
      17: 9.70828780262767e-5,
      18: 0.000622772421914596 / 32,
      31: 3.013858152139171e-6 / 32,
    };
    for (const [pair, value] of Object.entries(expected)) near(f[Number(pair)]!, value);
  });

  it("yarn: Qwen's 4-fold extension of 32,768", () => {
    const yarn: RopeConfig = {
      type: "yarn",
      theta: 1e6,
      factor: 4,
      originalMaxPosition: 32_768,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: yarnAttentionFactor(4),
      truncate: true,
    };
    const { rope } = ropeFor({ headDim: 128, rope: yarn }, 0);
    // Pairs turning 32 and 1 times in 32,768 tokens are 23.596 and 39.651: the ramp runs from pair 23 to pair 40.
    const expected: Record<number, number> = {
      0: 1,
      23: 0.006978305848598663,
      24: 0.005375321490790102,
      30: 0.001064360981247002,
      39: 6.490394320837029e-5,
      40: 0.00017782794100389227 / 4,
      63: 1.2409377607517195e-6 / 4,
    };
    for (const [pair, value] of Object.entries(expected)) near(rope.invFreq[Number(pair)]!, value);
    near(rope.attentionFactor, 1.138629436111989);
    // Without rounding, pair 24 is (24 − 23.595948) / (39.650881 − 23.595948) = 0.0251668 into the ramp.
    const exact = frequencies(128, { ...yarn, truncate: false });
    expect(exact[24]! / (0.005623413251903491 * (1 - 0.75 * 0.0251668))).toBeCloseTo(1, 6);
  });

  it("yarn with a ramp of no width and with a factor of 1 stays finite", () => {
    const yarn: RopeConfig = {
      type: "yarn",
      theta: 10_000,
      factor: 4,
      originalMaxPosition: 4,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 1,
      truncate: true,
    };
    expect([...frequencies(8, yarn)].every((f) => f > 0 && f <= 1)).toBe(true);
    expect(yarnAttentionFactor(1)).toBe(1);
    near(yarnAttentionFactor(40, 0.5), 0.05 * Math.log(40) + 1);
  });
});
