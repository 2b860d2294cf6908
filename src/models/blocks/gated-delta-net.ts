/**
 * @file The gated delta net of Qwen3-Next and later models: one product for q|k|v, the output's gate and the inputs of rates and
 * decays; a causal convolution of q, k and v; the gated delta rule; a norm of each head, times the gate; output projection.
 */
import type { Columns, Convolution, DeltaRule, Gates } from "../../backends/ops.ts";
import { convolutionBytes } from "../../backends/state-ops.ts";
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

/** prefix: beginning of the tensors' names */
export function gatedDeltaNet(prefix: string, shape: DeltaNetShape, tensors: DeltaNetTensors): Block {
  const { hiddenSize, numHeads, numKeyHeads, isTiled = false, keyDim, valueDim, kernel, normEps, rateScale } = shape;
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
  // Channels are a multiple of four, so that the matrices behind the tail begin at a multiple of 16 bytes.
  const tailBytes = convolutionBytes(channels, kernel);
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
    scratch: { deltaInputs: stride, convolved: channels, attended: valueWidth },
    state: { kind: "recurrent", numBytes: tailBytes + 4 * valueWidth * keyDim, isChunked: true },
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
        keyDim,
        valueDim,
        rateScale,
        rate: from(channels + valueWidth),
        decay: from(channels + valueWidth + numHeads),
        isByChannel: false,
        decayLog: decayLog!,
        decayBias: decayBias!,
        decayBound: null,
      };
      const gates: Gates = { ...from(channels), repeat: 1, activation: "silu" };
      return {
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [inputs, convolved, heads] = [scratch("deltaInputs"), scratch("convolved"), scratch("attended")];
          ops.linear(x, input!, null, rows, inputs, false);
          ops.convolve(step, convolution, inputs, convolved);
          ops.deltaRule(step, rule, convolved, inputs, inputs, heads);
          ops.rmsNorm(heads, headNorm!, normEps, rows * numHeads, heads);
          ops.gate(heads, inputs, gates, rows, valueWidth);
          ops.linear(heads, output!, null, rows, out, add);
        },
      };
    },
  };
}
