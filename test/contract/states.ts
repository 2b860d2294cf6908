/** @file Contract of operations on states of fixed size, and of the gates beside them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Convolution, DeltaRule, Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { convolutionBytes } from "../../src/backends/state-ops.ts";
import { activationError } from "../support/elementwise-grid.ts";
import { runStates } from "../support/state-cases.ts";
import { gaussians, partOf, relativeError, upload } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

interface ConvolutionCase {
  readonly channels: number;
  readonly kernel: number;
  readonly activation: Convolution["activation"];
  readonly hasBias: boolean;
  /** Whether inputs and outputs have gates, and whether other columns are between them. */
  readonly isGated: boolean;
  readonly dilation?: number;
}

/** One channel, no group of 4, whole groups, more than a task and a workgroup have. */
const CONVOLUTIONS: readonly ConvolutionCase[] = [
  { channels: 1, kernel: 2, activation: "none", hasBias: false, isGated: false },
  { channels: 3, kernel: 3, activation: "none", hasBias: false, isGated: true },
  { channels: 32, kernel: 4, activation: "silu", hasBias: false, isGated: false },
  { channels: 67, kernel: 4, activation: "silu", hasBias: true, isGated: false },
  { channels: 130, kernel: 7, activation: "none", hasBias: true, isGated: true },
  { channels: 6, kernel: 8, activation: "silu", hasBias: true, isGated: true },
  { channels: 12, kernel: 4, activation: "silu", hasBias: false, isGated: false, dilation: 3 },
  { channels: 5, kernel: 2, activation: "none", hasBias: true, isGated: true, dilation: 31 },
];

/** The state is behind other parts. */
const OFFSET = 32;

function convolve(ops: Ops, c: ConvolutionCase) {
  const { channels, kernel, activation, hasBias, isGated, dilation = 1 } = c;
  const stride = (isGated ? 3 : 1) * channels + 2;
  const column = (values: Float32Array) => ops.loadWeight([partOf(values, 1)], "f32");
  const convolution: Convolution = {
    state: { index: 0, offset: OFFSET },
    channels,
    kernel,
    dilation,
    weight: column(gaussians(1, channels * kernel)),
    bias: hasBias ? column(gaussians(2, channels)) : null,
    activation,
    input: { first: isGated ? 2 * channels + 1 : 1, stride },
    inputGate: isGated ? 0 : null,
    outputGate: isGated ? channels : null,
  };
  return runStates(ops, OFFSET + convolutionBytes(channels, kernel, dilation), (step, index, rows) => {
    const x = upload(ops, gaussians(10 + index, rows * stride, 2));
    const out = ops.alloc(rows * channels);
    ops.beginStep(step, []);
    ops.convolve(step, convolution, x, out);
    ops.free(x);
    return out;
  });
}

interface DeltaCase extends Pick<DeltaRule, "numHeads" | "numKeyHeads" | "keyDim" | "valueDim" | "isByChannel"> {
  readonly rateScale: number;
  readonly decayBound: number | null;
  readonly isTiled?: true;
}

/** Columns of no group of 8 or 16, more channels than a workgroup has parts, several heads of v for one of q and k. */
const DELTA_CASES: readonly DeltaCase[] = [
  { numHeads: 1, numKeyHeads: 1, keyDim: 4, valueDim: 4, isByChannel: false, rateScale: 1, decayBound: null },
  { numHeads: 4, numKeyHeads: 2, keyDim: 16, valueDim: 20, isByChannel: false, rateScale: 1, decayBound: null },
  {
    numHeads: 6,
    numKeyHeads: 3,
    keyDim: 8,
    valueDim: 12,
    isByChannel: false,
    rateScale: 1,
    decayBound: null,
    isTiled: true,
  },
  { numHeads: 3, numKeyHeads: 1, keyDim: 12, valueDim: 64, isByChannel: false, rateScale: 2, decayBound: null },
  { numHeads: 2, numKeyHeads: 2, keyDim: 132, valueDim: 28, isByChannel: false, rateScale: 1, decayBound: -5 },
  { numHeads: 2, numKeyHeads: 2, keyDim: 24, valueDim: 24, isByChannel: true, rateScale: 1, decayBound: null },
  { numHeads: 2, numKeyHeads: 1, keyDim: 8, valueDim: 16, isByChannel: true, rateScale: 2, decayBound: -5 },
];

function delta(ops: Ops, c: DeltaCase) {
  const { numHeads, numKeyHeads, keyDim, valueDim, isByChannel } = c;
  const width = 2 * numKeyHeads * keyDim + numHeads * valueDim;
  const numDecays = numHeads * (isByChannel ? keyDim : 1);
  const stride = numHeads + numDecays + 3;
  const column = (values: Float32Array) => ops.loadWeight([partOf(values, 1)], "f32");
  const rule: DeltaRule = {
    ...c,
    state: { index: 0, offset: OFFSET },
    rate: { first: 1, stride },
    decay: { first: numHeads + 2, stride },
    decayLog: column(gaussians(1, numHeads)),
    decayBias: column(gaussians(2, numDecays)),
  };
  return runStates(ops, OFFSET + 4 * numHeads * keyDim * valueDim, (step, index, rows) => {
    const qkv = upload(ops, gaussians(10 + index, rows * width, 2));
    const gates = upload(ops, gaussians(20 + index, rows * stride, 2));
    const out = ops.alloc(rows * numHeads * valueDim);
    ops.beginStep(step, []);
    ops.deltaRule(step, rule, qkv, gates, gates, out);
    ops.free(qkv);
    ops.free(gates);
    return out;
  });
}

/** Indices of the cases of the delta rule that stand for the others: tiled heads, long keys with a bound, and decays by channel. */
export const FEW_DELTA_CASES: readonly number[] = [2, 4, 5];

export function statesContract(
  { open, limits }: Target,
  deltaCases: readonly number[] = [...DELTA_CASES.keys()],
): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  describe("states of fixed size", () => {
    it.each(CONVOLUTIONS)(
      "convolve: $channels channels, $kernel taps, $activation, bias $hasBias, gates $isGated",
      async (c) => {
        const [actual, expected] = [await convolve(ops, c), await convolve(reference, c)];
        expect(actual.states).toHaveLength(expected.states.length);
        for (const [i, values] of actual.outputs.entries()) {
          expect(activationError(values, expected.outputs[i]!), `step ${i}`).toBeLessThan(limits.activation());
        }
        // A tail is inputs as they were, or a product of two.
        for (const [i, values] of actual.states.entries()) expect(values, `state ${i}`).toEqual(expected.states[i]);
      },
    );

    it.each(deltaCases.map((i) => DELTA_CASES[i]!))(
      "delta rule: $numHeads/$numKeyHeads heads of $keyDim and $valueDim, by channel $isByChannel, β × $rateScale, bound $decayBound",
      async (c) => {
        const [actual, expected] = [await delta(ops, c), await delta(reference, c)];
        expect(actual.states).toHaveLength(expected.states.length);
        for (const which of ["outputs", "states"] as const) {
          for (const [i, values] of actual[which].entries()) {
            expect(relativeError(values, expected[which][i]!), `${which} ${i}`).toBeLessThan(limits.deltaRule());
          }
        }
      },
    );

    it.each(["sigmoid", "silu", "none"] as const)(
      "gate: %s, a factor a value, a head and a row",
      async (activation) => {
        for (const [rows, width, repeat] of [
          [1, 3, 1],
          [5, 64, 1],
          [3, 33, 1],
          [4, 96, 12],
          [2, 30, 5],
          [70, 128, 128],
        ] as const) {
          const count = Math.ceil(width / repeat);
          const of = { first: 3, stride: count + 4, repeat, activation };
          const [actual, expected] = await Promise.all(
            [ops, reference].map(async (each) => {
              const x = upload(each, gaussians(1, rows * width));
              const gates = gaussians(2, rows * of.stride, 4);
              gates[3] = -120;
              each.gate(x, upload(each, gates), of, rows, width);
              return each.readback(x, rows * width);
            }),
          );
          expect(relativeError(actual!, expected!), `${rows}x${width}/${repeat}`).toBeLessThan(limits.elementwise());
        }
      },
    );
  });
}
