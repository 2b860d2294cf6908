/** @file Contract of operations on rows that stand for several tokens, on streams and on numbers of tokens, for backends that have them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compressionLength } from "../../src/backends/compress-rows.ts";
import type { Compression, HeadTurn, Ngrams, Ops, Step } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { numRowsOf } from "../../src/backends/row-spans.ts";
import { runStates } from "../support/state-cases.ts";
import { gaussians, partOf, relativeError, upload } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

/** The state is behind other parts. */
const OFFSET = 16;

/** Runs of which steps end none, one and many; with gates, and with a second series. */
const COMPRESSIONS = [
  { tokensPerRow: 2, width: 8, series: 1, isGated: false },
  { tokensPerRow: 4, width: 5, series: 2, isGated: true },
  { tokensPerRow: 64, width: 16, series: 1, isGated: true },
] as const;

type CompressionCase = (typeof COMPRESSIONS)[number];

function compress(ops: Ops, { tokensPerRow, width, series, isGated }: CompressionCase) {
  const values = series * width;
  const compression: Compression = {
    ...{ tokensPerRow, width, series, isGated, stride: (isGated ? 2 : 1) * values },
    state: { index: 0, offset: OFFSET },
    gateBias: isGated ? ops.loadWeight([partOf(gaussians(1, tokensPerRow * values), 1)], "f32") : null,
  };
  return runStates(ops, OFFSET + 4 * compressionLength(compression), (step, index, rows) => {
    const x = upload(ops, gaussians(10 + index, rows * compression.stride, 2));
    ops.beginStep(step, []);
    const out = ops.alloc(Math.max(1, numRowsOf(step, tokensPerRow)) * width);
    ops.compress(step, compression, x, out);
    ops.free(x);
    return out;
  });
}

const NGRAMS: Omit<Ngrams, "state"> = {
  size: 3,
  endToken: 3,
  // Of 63 bits over a vocabulary of 20 tokens.
  multipliers: [
    [1_234_567, 2_097_151, 104_857],
    [3, 1_999_999, 77_777],
    [2_000_001, 5, 100_001],
  ],
  heads: [
    { numRows: 97, first: 0 },
    { numRows: 101, first: 97 },
    { numRows: 103, first: 198 },
    { numRows: 107, first: 301 },
  ],
};

const tokensOf = (step: Step, seed: number): Step => ({
  ...step,
  tokens: step.positions.map((position) => (position * 7 + seed * 5) % 20),
});

/** The first of equal numbers of tokens and rows, as bits of what is looked up. */
function ngramRow(tokens: readonly number[], at: number, head: number): number {
  const { size, endToken, multipliers, heads } = NGRAMS;
  const length = 2 + Math.floor(head / (heads.length / (size - 1)));
  let hash = 0n;
  let isOver = false;
  for (let back = 0; back < length; back++) {
    const token = isOver ? endToken : (tokens[at - back] ?? endToken);
    if (back > 0 && token === endToken) isOver = true;
    const [low, middle, high] = multipliers[back]!.map(BigInt) as [bigint, bigint, bigint];
    hash ^= BigInt(token) * (low + (middle << 21n) + (high << 42n));
  }
  return heads[head]!.first + Number(hash % BigInt(heads[head]!.numRows));
}

export function groupedTokensContract({ open, limits }: Target): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());
  const both = async <T>(run: (each: Ops) => Promise<T>): Promise<[T, T]> => [await run(ops), await run(reference)];

  describe("rows of several tokens", () => {
    it.each(COMPRESSIONS)(
      "means of $tokensPerRow tokens, $width wide, $series series, gates $isGated: the same in any steps",
      async (c) => {
        const [actual, expected] = await both((each) => compress(each, c));
        for (const which of ["outputs", "states"] as const)
          for (const [i, values] of actual[which].entries())
            expect(values, `${which} ${i}`).toEqual(expected[which][i]);
      },
    );

    it("means are those of a softmax of gates", async () => {
      const compression: Compression = {
        ...{ tokensPerRow: 3, width: 1, series: 1, isGated: true, stride: 2, gateBias: null },
        state: { index: 0, offset: 0 },
      };
      const { outputs } = await runStates(ops, 4 * compressionLength(compression), (step, _, rows) => {
        const x = upload(
          ops,
          Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? i : (i % 3) - 90)),
        );
        ops.beginStep(step, []);
        const out = ops.alloc(Math.max(1, numRowsOf(step, 3)));
        ops.compress(step, compression, x, out);
        return out;
      });
      // The second sequence of the first step has rows 1 to 70; its first three tokens have values 2, 4, 6 and gates −90, −88, −89.
      const weights = [0, 2, 1].map((gate) => Math.exp(gate));
      const mean = (2 * weights[0]! + 4 * weights[1]! + 6 * weights[2]!) / weights.reduce((a, b) => a + b);
      expect(outputs[0]![0]).toBeCloseTo(mean, 5);
    });

    it("n-grams are looked up by hashes of 63 bits, across steps, and end at the end token", async () => {
      const width = 2;
      const table = Float32Array.from({ length: 408 * width }, (_, i) => i);
      const run = (each: Ops) => {
        const weight = each.loadWeight([partOf(table, width)], "f32");
        const ngrams: Ngrams = { ...NGRAMS, state: { index: 0, offset: OFFSET } };
        return runStates(each, OFFSET + 16, (plain, _, rows) => {
          const step = tokensOf(plain, 1);
          each.beginStep(step, []);
          const out = each.alloc(rows * 4 * width);
          each.embedNgrams(step, ngrams, weight, out);
          return out;
        });
      };
      const [actual, expected] = await both(run);
      expect(actual).toEqual(expected);
      const tokens = Array.from({ length: 300 }, (_, position) => (position * 7 + 5) % 20);
      // The third sequence: three tokens in the first step, 130 in the third.
      for (const [step, row, position] of [
        [0, 71, 0],
        [0, 73, 2],
        [2, 2, 3],
        [2, 131, 132],
      ] as const) {
        for (let head = 0; head < 4; head++)
          expect(actual.outputs[step]![(row * 4 + head) * width]).toBe(ngramRow(tokens, position, head) * width);
      }
    });

    it("pairs whose frequency is 0 stay as they are, whatever the factor of the others", async () => {
      const turn: HeadTurn = { rope: 0, numHeads: 1, headDim: 4, first: 0, isBack: false };
      const [actual, expected] = await both((each) =>
        runStates(each, 16, (step, index, rows) => {
          const x = upload(each, gaussians(index, rows * 4));
          each.beginStep(step, [{ invFreq: Float64Array.from([0.5, 0]), attentionFactor: 1.25 }]);
          each.turnHeads(step, x, turn);
          return x;
        }),
      );
      for (const { outputs } of [actual, expected]) {
        const given = gaussians(1, outputs[1]!.length);
        expect(outputs[1]!.map((value, i) => (i % 4 < 2 ? 0 : value))).toEqual(
          given.map((value, i) => (i % 4 < 2 ? 0 : value)),
        );
        // The first row is its sequence's second token.
        expect(outputs[1]![0]).toBeCloseTo(1.25 * (given[0]! * Math.cos(0.5) - given[1]! * Math.sin(0.5)), 5);
      }
    });

    it("heads are turned by position, and back", async () => {
      const ropes = [{ invFreq: Float64Array.from([1, 0.1]), attentionFactor: 1 }];
      const turn: HeadTurn = { rope: 0, numHeads: 2, headDim: 6, first: 2, isBack: false };
      const run = (each: Ops) =>
        runStates(each, 16, (step, index, rows) => {
          const x = upload(each, gaussians(index, rows * 12));
          each.beginStep(step, ropes);
          each.turnHeads(step, x, turn);
          if (index > 1) each.turnHeads(step, x, { ...turn, isBack: true });
          return x;
        });
      const [actual, expected] = await both(run);
      for (const [i, values] of actual.outputs.entries()) {
        expect(relativeError(values, expected.outputs[i]!), `step ${i}`).toBeLessThan(limits.elementwise());
        if (i > 1) expect(relativeError(values, gaussians(i, values.length)), `step ${i}`).toBeLessThan(1e-6);
      }
      const x = gaussians(1, 12);
      // The first row of the second step is the first sequence's second token, at position 1.
      const [a, b] = [x[2]!, x[3]!];
      expect(actual.outputs[1]![2]).toBeCloseTo(a * Math.cos(1) - b * Math.sin(1), 5);
      expect(actual.outputs[1]![3]).toBeCloseTo(b * Math.cos(1) + a * Math.sin(1), 5);
    });
  });

  describe("streams", () => {
    it("factors of a matrix whose rows and columns add up to 1", async () => {
      const n = 4;
      const width = n * (2 + n);
      const run = async (each: Ops) => {
        const weightOf = (values: Float32Array) => each.loadWeight([partOf(values, 1)], "f32");
        const of = {
          ...{ streams: n, scale: weightOf(Float32Array.of(0.5, 2, 1)), bias: weightOf(gaussians(2, width)) },
          ...{ epsilon: 1e-6, iterations: 20 },
        };
        const factors = upload(each, gaussians(3, 5 * width, 2));
        each.streamFactors(factors, of, 5);
        return each.readback(factors, 5 * width);
      };
      const [actual, expected] = await both(run);
      expect(actual).toEqual(expected);
      for (let row = 0; row < 5; row++) {
        const own = actual.subarray(row * width + 2 * n, (row + 1) * width);
        for (let i = 0; i < n; i++) {
          const sum = (at: (j: number) => number) =>
            Array.from({ length: n }, (_, j) => own[at(j)]!).reduce((a, b) => a + b);
          expect(sum((j) => i * n + j)).toBeCloseTo(1, 3);
          expect(sum((j) => j * n + i)).toBeCloseTo(1, 3);
        }
      }
    });

    it("how alike two are", async () => {
      const of = { streams: 3, scale: 0.5, floor: 1e-6 };
      const run = async (each: Ops) => {
        const [x, y] = [upload(each, gaussians(1, 2 * 3 * 8)), upload(each, gaussians(2, 2 * 3 * 8))];
        const out = each.alloc(6);
        each.matchStreams(x, y, of, 2, 8, out);
        return each.readback(out, 6);
      };
      const [actual, expected] = await both(run);
      expect(actual).toEqual(expected);
      const [x, y] = [gaussians(1, 8), gaussians(2, 8)];
      const product = 0.5 * x.reduce((sum, value, i) => sum + value * y[i]!, 0);
      expect(actual[0]).toBeCloseTo(Math.sign(product) * Math.sqrt(Math.abs(product)), 5);
    });
  });
}
