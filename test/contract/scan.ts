/** @file Contract of the scan of state space layers, of sums of residual streams, and of columns that get factors or other places. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops, Scan, StreamMix } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { scanBytes } from "../../src/backends/state-ops.ts";
import { activationError } from "../support/elementwise-grid.ts";
import { runStates } from "../support/state-cases.ts";
import { gaussians, partOf, relativeError, upload } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

type ScanCase = Pick<Scan, "numHeads" | "headDim" | "numGroups" | "stateSize" | "isPerState" | "minStep" | "maxStep">;

const UNLIMITED = { minStep: 0, maxStep: Number.POSITIVE_INFINITY };

/** One state, no group of 4, whole groups; one coordinate, fewer and more than a workgroup has; groups of one head and of several. */
const SCANS: readonly ScanCase[] = [
  { numHeads: 1, headDim: 1, numGroups: 1, stateSize: 1, isPerState: false, ...UNLIMITED },
  { numHeads: 3, headDim: 5, numGroups: 3, stateSize: 6, isPerState: false, ...UNLIMITED },
  { numHeads: 4, headDim: 16, numGroups: 2, stateSize: 16, isPerState: false, minStep: 0.01, maxStep: 0.4 },
  { numHeads: 2, headDim: 20, numGroups: 1, stateSize: 129, isPerState: false, ...UNLIMITED },
  { numHeads: 37, headDim: 1, numGroups: 1, stateSize: 8, isPerState: true, ...UNLIMITED },
  { numHeads: 5, headDim: 1, numGroups: 1, stateSize: 17, isPerState: true, minStep: 0.01, maxStep: 3 },
];

/** Streams to one, one to streams, among themselves in place, one of them as it is; the most there are. */
const MIXES = [
  { from: { first: 0, count: 4, of: 4 }, to: { first: 0, count: 1, of: 1 }, isWeighted: true, isInPlace: false },
  { from: { first: 1, count: 2, of: 3 }, to: { first: 0, count: 1, of: 1 }, isWeighted: false, isInPlace: false },
  { from: { first: 0, count: 1, of: 1 }, to: { first: 1, count: 3, of: 4 }, isWeighted: true, isInPlace: false },
  { from: { first: 0, count: 1, of: 1 }, to: { first: 2, count: 1, of: 3 }, isWeighted: false, isInPlace: false },
  { from: { first: 0, count: 8, of: 8 }, to: { first: 0, count: 8, of: 8 }, isWeighted: true, isInPlace: true },
  { from: { first: 0, count: 2, of: 3 }, to: { first: 1, count: 2, of: 3 }, isWeighted: true, isInPlace: true },
].map((c, i) => (i % 2 === 0 ? { ...c, factor: 1, add: false } : { ...c, factor: -0.5, add: true }));

/** Longer, shorter and as long; one part, the first and the last of a row, and parts among others. */
const PARTS = [
  { from: { first: 0, width: 6, stride: 12 }, to: { first: 0, width: 8, stride: 16 }, count: 2 },
  { from: { first: 3, width: 50, stride: 403 }, to: { first: 5, width: 52, stride: 425 }, count: 8 },
  { from: { first: 2, width: 8, stride: 26 }, to: { first: 0, width: 5, stride: 15 }, count: 3 },
  { from: { first: 0, width: 1, stride: 1 }, to: { first: 7, width: 8, stride: 15 }, count: 1 },
  { from: { first: 1, width: 16, stride: 40 }, to: { first: 4, width: 16, stride: 36 }, count: 2 },
];

/** The state is behind other parts. */
const OFFSET = 48;

function scanned(ops: Ops, c: ScanCase) {
  const { numHeads, headDim, numGroups, stateSize } = c;
  const [inner, vectors] = [numHeads * headDim, numGroups * stateSize];
  const numRates = c.isPerState ? numHeads * stateSize : numHeads;
  const parameters = ops.loadWeight([partOf(gaussians(1, numRates + 2 * numHeads), 1)], "f32");
  const strides = { x: inner + 2, vectors: 2 * vectors + 3, steps: numHeads + 1 };
  const scan: Scan = {
    ...c,
    state: { index: 0, offset: OFFSET },
    parameters,
    x: { first: 1, stride: strides.x },
    vectors: { b: 2, c: 3 + vectors, stride: strides.vectors },
    steps: { first: 1, stride: strides.steps },
  };
  return runStates(ops, OFFSET + scanBytes(c), (step, index, rows) => {
    const inputs = {
      x: upload(ops, gaussians(10 + index, rows * strides.x)),
      vectors: upload(ops, gaussians(20 + index, rows * strides.vectors)),
      steps: upload(ops, gaussians(30 + index, rows * strides.steps, 3)),
    };
    const out = ops.alloc(rows * inner);
    ops.beginStep(step, []);
    ops.scan(step, scan, inputs, out);
    for (const each of Object.values(inputs)) ops.free(each);
    return out;
  });
}

export function scanContract({ open, limits }: Target): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  describe("state space layers", () => {
    it.each(SCANS)(
      "scan: $numHeads heads of $headDim, $numGroups groups, $stateSize states, rates of states: $isPerState, steps from $minStep to $maxStep",
      async (c) => {
        const [actual, expected] = [await scanned(ops, c), await scanned(reference, c)];
        expect(actual.states).toHaveLength(expected.states.length);
        for (const name of ["outputs", "states"] as const) {
          for (const [i, values] of actual[name].entries())
            expect(activationError(values, expected[name][i]!), `${name} ${i}`).toBeLessThan(limits.activation());
        }
      },
    );

    it.each(MIXES)(
      "mixStreams: $from.count of $from.of to $to.count of $to.of, coefficients $isWeighted, added $add, in place $isInPlace",
      async ({ isWeighted, isInPlace, ...places }) => {
        for (const [rows, width] of [
          [1, 1],
          [3, 37],
          [70, 64],
        ] as const) {
          const stride = places.from.count * places.to.count + 3;
          const mix: StreamMix = { ...places, first: 2, stride };
          const [actual, expected] = await Promise.all(
            [ops, reference].map(async (each) => {
              const x = upload(each, gaussians(1, rows * mix.from.of * width));
              const out = isInPlace ? x : upload(each, gaussians(2, rows * mix.to.of * width));
              const coefficients = isWeighted ? upload(each, gaussians(3, rows * stride)) : null;
              each.mixStreams(x, mix, coefficients, rows, width, out);
              return each.readback(out, rows * mix.to.of * width);
            }),
          );
          expect(activationError(actual!, expected!), `${rows}x${width}`).toBeLessThan(limits.activation());
        }
      },
    );

    it.each(PARTS)("resizeParts: $count of $from.width to $to.width", async ({ from, to, count }) => {
      for (const rows of [1, 3, 70]) {
        const [actual, expected] = await Promise.all(
          [ops, reference].map(async (each) => {
            const x = upload(each, gaussians(1, rows * from.stride));
            // What is not written stays, and a value behind the last row.
            const out = upload(each, gaussians(2, rows * to.stride + 1));
            each.resizeParts(x, from, count, rows, out, to);
            return each.readback(out, out.length);
          }),
        );
        expect(actual, `${rows} rows`).toEqual(expected);
      }
    });

    it("scaleColumns: runs of columns have factors of their own, and what follows stays", async () => {
      for (const [rows, ends] of [
        [1, [1]],
        [3, [4, 5, 12]],
        [70, [3, 3, 35, 64, 70, 71, 80, 333]],
      ] as const) {
        const runs = ends.map((end, i) => ({ end, factor: [0.5, -3, 1e-4, 7][i % 4]! }));
        const width = ends.at(-1)!;
        const x = gaussians(1, rows * width + 5);
        const [actual, expected] = await Promise.all(
          [ops, reference].map(async (each) => {
            const buf = upload(each, x);
            each.scaleColumns(buf, runs, rows, width);
            return each.readback(buf, x.length);
          }),
        );
        expect(relativeError(actual!, expected!), `${rows}x${width}`).toBeLessThan(limits.elementwise());
        expect(actual!.subarray(rows * width)).toEqual(x.subarray(rows * width));
      }
    });
  });
}
