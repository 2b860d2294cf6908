/**
 * @file The gated short convolution of LFM2: three projections B, C and x of the input; C ⊙ conv(B ⊙ x), where each channel is
 * convolved over the last few tokens; output projection.
 */
import type { Convolution } from "../../backends/ops.ts";
import { convolutionBytes } from "../../backends/state-ops.ts";
import { type Block, bias, stackedMatrix, taps } from "./block.ts";

export interface ShortConvolutionShape {
  readonly hiddenSize: number;
  /** Taps of a channel. */
  readonly kernel: number;
  /** Whether the projections and the convolution have biases. */
  readonly isBiased: boolean;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.conv.` */
export function shortConvolution(prefix: string, { hiddenSize, kernel, isBiased }: ShortConvolutionShape): Block {
  const width = 3 * hiddenSize;
  return {
    weights: {
      input: stackedMatrix(hiddenSize, [[`${prefix}in_proj.weight`, width]]),
      ...(isBiased && { inputBias: bias([[`${prefix}in_proj.bias`, width]]) }),
      taps: taps(kernel, [[[`${prefix}conv.weight`, hiddenSize]]]),
      ...(isBiased && { convolutionBias: bias([[`${prefix}conv.bias`, hiddenSize]]) }),
      output: stackedMatrix(hiddenSize, [[`${prefix}out_proj.weight`, hiddenSize]]),
      ...(isBiased && { outputBias: bias([[`${prefix}out_proj.bias`, hiddenSize]]) }),
    },
    scratch: { projected: width, convolved: hiddenSize },
    state: { kind: "recurrent", numBytes: convolutionBytes(hiddenSize, kernel) },
    bind: ({ input, inputBias, taps: weight, convolutionBias, output, outputBias }, { stateIndex }) => {
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        channels: hiddenSize,
        kernel,
        weight: weight!,
        bias: convolutionBias ?? null,
        activation: "none",
        // Rows are B, C, x.
        input: { first: 2 * hiddenSize, stride: width },
        inputGate: 0,
        outputGate: hiddenSize,
      };
      return {
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [projected, convolved] = [scratch("projected"), scratch("convolved")];
          ops.linear(x, input!, inputBias ?? null, rows, projected, false);
          ops.convolve(step, convolution, projected, convolved);
          ops.linear(convolved, output!, outputBias ?? null, rows, out, add);
        },
      };
    },
  };
}
