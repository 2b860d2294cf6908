/** @file What the report concludes: the effect of a parameter, and the smallest format that passes. */
import { describe, expect, it } from "vitest";
import { familyRows, testRow } from "../../../test/support/report-rows.ts";
import { parameterEffects } from "./figures/effects.ts";
import { recommend } from "./recommendation.ts";
import { mainGroups, reportRow } from "./report-row.ts";

describe("parameterEffects", () => {
  const run = (parameters: object, kld: number) =>
    testRow({ kv: "k4v4", bits: 4, kld, more: { parameters: { window: 0, ...parameters } } });

  it("is the geometric mean of the ratios of pairs that differ in one parameter, with its interval", () => {
    const rows = [3, 4, 5].flatMap((bits) => [
      run({ bits, search: false }, 0.1 * 4 ** -bits),
      // 0.5, 0.6, 0.7 of it.
      run({ bits, search: true }, (0.1 * bits + 0.2) * 0.1 * 4 ** -bits),
    ]);
    const [effect, ...others] = parameterEffects([...rows, run({ bits: 9, search: true }, 7)]);
    expect(others).toEqual([]);
    expect(effect).toMatchObject({ name: "search: false → true", pairs: 3 });
    expect(effect!.ratio).toBeCloseTo((0.5 * 0.6 * 0.7) ** (1 / 3), 12);
    // t(2) = 4.303 times the standard error of ln 0.5, ln 0.6, ln 0.7.
    const logs = [0.5, 0.6, 0.7].map(Math.log);
    const mean = Math.log(effect!.ratio);
    const se = Math.sqrt(logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / 2 / 3);
    expect(Math.log(effect!.high)).toBeCloseTo(mean + 4.303 * se, 12);
    expect(Math.log(effect!.low)).toBeCloseTo(mean - 4.303 * se, 12);
  });

  it("two runs that differ in two parameters are no pair, nor are fewer than three", () => {
    const rows = [
      run({ search: false, rotation: "qr" }, 1),
      run({ search: true, rotation: "none" }, 2),
      run({ search: true, rotation: "qr" }, 3),
    ];
    expect(parameterEffects(rows)).toEqual([]);
    expect(parameterEffects(familyRows())).toEqual([]);
  });
});

describe("recommend", () => {
  const [group] = mainGroups(familyRows());

  it("takes the smallest format whose whole intervals are on the good side", () => {
    // KLD of ours: 5·4^-bits; 4 bits 0.0195, 5 bits 0.0049, 6 bits 0.0012. top-1: 86, 93, 96.5, 98.3 %.
    const usable = recommend("usable", group!);
    expect(usable.chosen!.row.kv).toBe("k6v6,sinks=0,window=0");
    expect(usable.chosen!.verdict).toBe("pass");
    const intact = recommend("intact", group!);
    expect(intact.chosen!.row.bitsPerValue).toBeGreaterThan(usable.chosen!.row.bitsPerValue);
    expect(intact.chosen!.tail).not.toBeNull();
    for (const { estimate, threshold, name } of intact.chosen!.criteria) {
      if (name === "top-1") expect(estimate.low).toBeGreaterThanOrEqual(threshold);
      else expect(estimate.high).toBeLessThanOrEqual(threshold);
    }
  });

  it("says what is not decided, and never recommends what failed or one side alone", () => {
    const noisy = mainGroups([
      testRow({ kv: "k3v3", bits: 3.5, kld: 0.3 }),
      testRow({ kv: "k4v4", bits: 4.5, kld: 0.001, more: { pplRatioSe: 0.05 } }),
      testRow({ kv: "k4v4,v=f16", bits: 10, kld: 0.0001 }),
    ]);
    const { chosen, open } = recommend("usable", noisy[0]!);
    expect(chosen).toBeNull();
    expect(open.map(({ row }) => row.kv)).toEqual(["k4v4"]);
  });

  it("a format of which hardly a code was read is not decided, however good its figures are", () => {
    const chosen = (codesRead?: number) => {
      const good = testRow({
        kv: "k3v3",
        bits: 3.5,
        kld: 0.0001,
        ...(codesRead !== undefined && { more: { codesRead } }),
      });
      const { chosen, open } = recommend("usable", mainGroups([good])[0]!);
      return [chosen?.row.kv, open.length];
    };
    expect(chosen(0.1)).toEqual([undefined, 1]);
    expect(chosen(0.9)).toEqual(["k3v3", 0]);
    // Rows of before the figure was kept.
    expect(chosen()).toEqual(["k3v3", 0]);
  });
});

it("groups: the main one of a model has the most formats; models go by size", () => {
  const rows = [
    ...familyRows({ model: "/models/qwen3-9m/", numParameters: 1.07e7 }),
    testRow({ kv: "k4v4", bits: 5, kld: 0.1, more: { ctx: 4096, tokens: 8192 } }),
    ...familyRows({ model: "org/qwen3-3m" }),
  ];
  const groups = mainGroups(rows);
  expect(groups.map(({ modelLabel, ctx }) => [modelLabel, ctx])).toEqual([
    ["qwen3-3m", 4096],
    ["qwen3-3m", 1024],
    ["qwen3-9m", 1024],
  ]);
});

it("a line that is no row is refused with what is missing", () => {
  expect(() => reportRow({ kv: "k4v4", model: "m" }, "x.jsonl, line 3")).toThrow(
    /^x\.jsonl, line 3: expected a row of a sweep or of eval --out, got another \(ctx: /,
  );
});

it("a model with another rope is another model", () => {
  const rope = (factor: number) => ({ rope: { type: "yarn", theta: 1e6, factor } });
  const groups = mainGroups([{}, rope(4), rope(8)].map((more) => testRow({ kv: "k4v4", bits: 4.5, kld: 0.01, more })));
  expect(groups.map(({ modelLabel, rows }) => [modelLabel, rows.length])).toEqual([
    ["qwen3-3m", 1],
    ["qwen3-3m, rope yarn × 4", 1],
    ["qwen3-3m, rope yarn × 8", 1],
  ]);
});
