/** @file When a row agrees with another implementation's, and when it only looks so. */
import { describe, expect, it } from "vitest";
import { judge, judgeExact, type OracleRow, type Rotation } from "../tools/oracle/judge.ts";

const oracle: OracleRow = { k: 3, v: 3, window: 0, sinks: 0, ppl: 40, kld: 0.1, kld_p99: 0.6, needle: 0 };
const ours = (changes: Partial<Rotation> = {}): Rotation => ({
  ppl: 40,
  pplRatioSe: 0.001,
  kldMean: 0.1,
  kldP99: 0.6,
  ...changes,
});
const withPpl = (...values: number[]) => values.map((ppl) => ours({ ppl })) as [Rotation, ...Rotation[]];

describe("judge", () => {
  it("passes inside the limits and not outside", () => {
    expect(judge(oracle, withPpl(40.19))).toBe("pass");
    expect(judge(oracle, withPpl(40.21 + 0.2))).toBe("FAIL");
    expect(judge(oracle, [ours({ kldMean: 0.114 })])).toBe("pass");
    expect(judge(oracle, [ours({ kldMean: 0.116, kldP99: 0.7 })])).toBe("FAIL");
  });

  it("calls two standard errors noise, and a mean that few tokens decide", () => {
    expect(judge(oracle, [ours({ ppl: 40.4, pplRatioSe: 0.004 })])).toBe("noise");
    expect(judge(oracle, [ours({ kldMean: 0.12 })])).toBe("noise");
  });

  it("calls it seed noise only when five rotations lie on both sides of the oracle", () => {
    expect(judge(oracle, withPpl(41, 40.5, 39.9, 40.7, 40.6))).toBe("seed noise");
    expect(judge(oracle, withPpl(41, 40.5, 39.9, 40.7))).toBe("FAIL");
    expect(judge(oracle, withPpl(41, 40.5, 40.1, 40.7, 40.6))).toBe("FAIL");
  });

  it("does not let a spread of PPL excuse a KLD that is off", () => {
    const rotations = withPpl(41, 40.5, 39.9, 40.7, 40.6).map((r) => ({ ...r, kldMean: 0.2, kldP99: 1.2 }));
    expect(judge(oracle, rotations as [Rotation, ...Rotation[]])).toBe("FAIL");
  });

  it("takes less divergence than unconverged codebooks of 7 and 8 bits, but not more", () => {
    const wide = { ...oracle, k: 8, v: 8 };
    expect(judge(wide, [ours({ kldMean: 0.05, kldP99: 0.2 })])).toBe("pass");
    expect(judge(wide, [ours({ kldMean: 0.15, kldP99: 0.9 })])).toBe("FAIL");
    expect(judge({ ...wide, v: 4 }, [ours({ kldMean: 0.05, kldP99: 0.2 })])).toBe("FAIL");
  });

  it("allows an uncompressed cache a tenth of a percent", () => {
    expect(judgeExact(oracle, 40.03)).toBe("pass");
    expect(judgeExact(oracle, 40.05)).toBe("FAIL");
  });
});
