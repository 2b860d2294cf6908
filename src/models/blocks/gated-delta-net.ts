/**
 * @file The gated delta net of Qwen3-Next and later models: one product for q|k|v, the output's gate and the inputs of rates and
 * decays; a causal convolution of q, k and v; the gated delta rule; a norm of each head, times the gate; output projection.
 */
import type { Buf, Columns, Convolution, DeltaRule, Gates, Ops, RowParts } from "../../backends/ops.ts";
import { alignedPart, convolutionBytes, storedDeltaDim } from "../../backends/state-ops.ts";
import { type Block, bias, norm, type StackPart, stackedMatrix, taps, type WeightSpec } from "./block.ts";

export interface DeltaNetShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly numKeyHeads: number;
  /** See `DeltaRule.isTiled`. */
  readonly isTiled?: boolean;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Taps of the convolution. */
  readonly kernel: number;
  readonly normEps: number;
  /** See `DeltaRule.rateScale`. */
  readonly rateScale: number;
  /** Of the output's gate; absent: silu. */
  readonly gateActivation?: "sigmoid" | "silu";
}

/** What a family calls the tensors of a delta net, without the prefix and `.weight`. */
export interface DeltaNetTensors {
  /** Those whose rows are, in their order, q|k|v|gate|rates|decays. */
  readonly inputs: readonly StackPart[];
  /** Others that a checkpoint may have instead. */
  readonly otherInputs?: readonly StackPart[];
  /** Those with the taps of the channels of q|k|v, each with its number of channels; then others that a checkpoint may have instead. */
  readonly taps: readonly (readonly (readonly [name: string, channels: number])[])[];
  readonly norm: string;
  readonly output: string;
}

/** Rows of q, k and v together, which the convolution takes. */
export const convolvedWidth = ({ numHeads, numKeyHeads, keyDim, valueDim }: DeltaNetShape): number =>
  2 * numKeyHeads * keyDim + numHeads * valueDim;

/** The shape with zeros, and what goes there and back; null for widths that the rule takes as they are. */
function widened(shape: DeltaNetShape) {
  const { numHeads, numKeyHeads, keyDim, valueDim } = shape;
  const wide = { ...shape, keyDim: storedDeltaDim(keyDim), valueDim: storedDeltaDim(valueDim) };
  if (wide.keyDim === keyDim && wide.valueDim === valueDim) return null;
  const keys = (of: DeltaNetShape): RowParts => ({ first: 0, width: of.keyDim, stride: convolvedWidth(of) });
  const values = (of: DeltaNetShape): RowParts => ({
    ...{ first: 2 * numKeyHeads * of.keyDim, width: of.valueDim },
    stride: convolvedWidth(of),
  });
  const heads = (width: number): RowParts => ({ first: 0, width, stride: numHeads * width });
  return {
    ...wide,
    widen: (ops: Ops, rows: number, x: Buf, out: Buf): void => {
      ops.resizeParts(x, keys(shape), 2 * numKeyHeads, rows, out, keys(wide));
      ops.resizeParts(x, values(shape), numHeads, rows, out, values(wide));
    },
    narrow: (ops: Ops, rows: number, x: Buf, out: Buf): void =>
      ops.resizeParts(x, heads(wide.valueDim), numHeads, rows, out, heads(valueDim)),
  };
}

/** prefix: beginning of the tensors' names */
export function gatedDeltaNet(prefix: string, shape: DeltaNetShape, tensors: DeltaNetTensors): Block {
  const { hiddenSize, numHeads, numKeyHeads, isTiled = false, keyDim, valueDim, kernel, normEps, rateScale } = shape;
  const { gateActivation = "silu" } = shape;
  const { inputs, otherInputs } = tensors;
  const stacked = (parts: readonly StackPart[]): WeightSpec =>
    stackedMatrix(
      hiddenSize,
      parts.map(([name, ...rest]): StackPart => [`${prefix}${name}.weight`, ...rest]),
    );
  const channels = convolvedWidth(shape);
  const valueWidth = numHeads * valueDim;
  const stride = channels + valueWidth + 2 * numHeads;
  const from = (first: number): Columns => ({ first, stride });
  const tailBytes = alignedPart(convolutionBytes(channels, kernel));
  const wide = widened(shape);
  const { keyDim: ruleKeyDim, valueDim: ruleValueDim } = wide ?? shape;
  return {
    weights: {
      input: { ...stacked(inputs), ...(otherInputs && { forms: [stacked(otherInputs).tensors] }) },
      taps: taps(
        kernel,
        tensors.taps.map((form) => form.map(([name, own]) => [`${prefix}${name}.weight`, own])),
      ),
      decayLog: bias([[`${prefix}A_log`, numHeads]]),
      decayBias: bias([[`${prefix}dt_bias`, numHeads]]),
      norm: norm(`${prefix}${tensors.norm}.weight`, valueDim),
      output: stackedMatrix(valueWidth, [[`${prefix}${tensors.output}.weight`, hiddenSize]]),
    },
    scratch: {
      ...{ deltaInputs: stride, convolved: channels, attended: valueWidth },
      ...(wide && { wideConvolved: convolvedWidth(wide), wideHeads: numHeads * ruleValueDim }),
    },
    state: {
      kind: "recurrent",
      numBytes: tailBytes + 4 * numHeads * ruleValueDim * ruleKeyDim,
      isChunked: true,
      delta: { numHeads, keyDim: ruleKeyDim, isByChannel: false },
    },
    bind: ({ input, taps: weight, decayLog, decayBias, norm: headNorm, output }, { stateIndex }) => {
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        channels,
        kernel,
        weight: weight!,
        bias: null,
        activation: "silu",
        input: from(0),
        inputGate: null,
        outputGate: null,
      };
      const rule: DeltaRule = {
        state: { index: stateIndex, offset: tailBytes },
        numHeads,
        numKeyHeads,
        isTiled,
        keyDim: ruleKeyDim,
        valueDim: ruleValueDim,
        rateScale,
        rate: from(channels + valueWidth),
        decay: from(channels + valueWidth + numHeads),
        isByChannel: false,
        decayLog: decayLog!,
        decayBias: decayBias!,
        decayBound: null,
      };
      const gates: Gates = { ...from(channels), repeat: 1, activation: gateActivation };
      // Queries are divided by the root of the rule's width, which the norm makes up for if its epsilon has the square.
      const headEps = (normEps * keyDim) / ruleKeyDim;
      return {
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [inputs, convolved, heads] = [scratch("deltaInputs"), scratch("convolved"), scratch("attended")];
          ops.linear(x, input!, null, rows, inputs, false);
          ops.convolve(step, convolution, inputs, convolved);
          if (wide) {
            const [wideConvolved, wideHeads] = [scratch("wideConvolved"), scratch("wideHeads")];
            wide.widen(ops, rows, convolved, wideConvolved);
            ops.deltaRule(step, rule, wideConvolved, inputs, inputs, wideHeads);
            wide.narrow(ops, rows, wideHeads, heads);
          } else ops.deltaRule(step, rule, convolved, inputs, inputs, heads);
          ops.rmsNorm(heads, headNorm!, headEps, rows * numHeads, heads);
          ops.gate(heads, inputs, gates, rows, valueWidth);
          ops.linear(heads, output!, null, rows, out, add);
        },
      };
    },
  };
}
