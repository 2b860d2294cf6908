/**
 * @file The mixer of Mamba (Gu and Dao, arXiv 2312.00752) as Jamba has it (arXiv 2403.19887): one product for x and gate, a convolution of
 * x, step sizes of low rank, B and C by products of its result and normed, the scan with a state for each channel, gate, output projection.
 */
import type { Convolution, RowNorm, Scan, Weight } from "../../backends/ops.ts";
import { convolutionBytes, scanBytes } from "../../backends/state-ops.ts";
import { type Block, bias, matrix, norm, stackedMatrix, taps, type WeightSpecs } from "./block.ts";

export interface SelectiveScanShape {
  readonly hiddenSize: number;
  readonly channels: number;
  /** States of a channel. */
  readonly stateSize: number;
  /** Inputs of the product that makes step sizes. */
  readonly stepRank: number;
  /** Taps of a channel of the convolution. */
  readonly kernel: number;
  readonly biases: { readonly projections: boolean; readonly convolution: boolean };
  readonly normEps: number;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.mamba.` */
export function selectiveScan(prefix: string, shape: SelectiveScanShape): Block {
  const { hiddenSize, channels, stateSize, stepRank, kernel, biases, normEps } = shape;
  const width = stepRank + 2 * stateSize;
  const weights: WeightSpecs = {
    input: stackedMatrix(hiddenSize, [[`${prefix}in_proj.weight`, 2 * channels]]),
    ...(biases.projections && { inputBias: bias([[`${prefix}in_proj.bias`, 2 * channels]]) }),
    taps: taps(kernel, [[[`${prefix}conv1d.weight`, channels]]]),
    ...(biases.convolution && { convolutionBias: bias([[`${prefix}conv1d.bias`, channels]]) }),
    selection: stackedMatrix(channels, [[`${prefix}x_proj.weight`, width]]),
    stepNorm: norm(`${prefix}dt_layernorm.weight`, stepRank),
    bNorm: norm(`${prefix}b_layernorm.weight`, stateSize),
    cNorm: norm(`${prefix}c_layernorm.weight`, stateSize),
    steps: stackedMatrix(stepRank, [[`${prefix}dt_proj.weight`, channels]]),
    parameters: {
      role: "bias",
      tensors: [
        matrix(`${prefix}A_log`, channels, stateSize),
        { name: `${prefix}D`, shape: [channels] },
        { name: `${prefix}dt_proj.bias`, shape: [channels] },
      ],
    },
    output: stackedMatrix(channels, [[`${prefix}out_proj.weight`, hiddenSize]]),
    ...(biases.projections && { outputBias: bias([[`${prefix}out_proj.bias`, hiddenSize]]) }),
  };
  // Every channel is a head of one coordinate.
  const heads = { numHeads: channels, headDim: 1, numGroups: 1, stateSize };
  const scanAt = Math.ceil(convolutionBytes(channels, kernel) / 16) * 16;
  return {
    weights,
    scratch: {
      projected: 2 * channels,
      convolved: channels,
      selected: width,
      stepInputs: stepRank,
      steps: channels,
      scanned: channels,
    },
    state: { kind: "recurrent", numBytes: scanAt + scanBytes(heads) },
    bind: (loaded, { stateIndex }) => {
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        channels,
        kernel,
        weight: loaded["taps"]!,
        bias: loaded["convolutionBias"] ?? null,
        activation: "silu",
        input: { first: 0, stride: 2 * channels },
        inputGate: null,
        outputGate: null,
      };
      const scan: Scan = {
        ...heads,
        state: { index: stateIndex, offset: scanAt },
        parameters: loaded["parameters"]!,
        isPerState: true,
        minStep: 0,
        maxStep: Number.POSITIVE_INFINITY,
        x: { first: 0, stride: channels },
        steps: { first: 0, stride: channels },
        vectors: { b: stepRank, c: stepRank + stateSize, stride: width },
      };
      const normOf = (weight: Weight, first: number): RowNorm => ({
        ...{ kind: "rms", weight, bias: null, eps: normEps, add: false, first, stride: width },
      });
      const stepNorm = { ...normOf(loaded["stepNorm"]!, 0), isCompact: true };
      const bNorm = normOf(loaded["bNorm"]!, stepRank);
      const cNorm = normOf(loaded["cNorm"]!, stepRank + stateSize);
      const gate = { first: channels, stride: 2 * channels, repeat: 1, activation: "silu" } as const;
      return {
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [projected, convolved, scanned] = [scratch("projected"), scratch("convolved"), scratch("scanned")];
          const [selected, stepInputs, steps] = [scratch("selected"), scratch("stepInputs"), scratch("steps")];
          ops.linear(x, loaded["input"]!, loaded["inputBias"] ?? null, rows, projected, false);
          ops.convolve(step, convolution, projected, convolved);
          ops.linear(convolved, loaded["selection"]!, null, rows, selected, false);
          ops.norm(selected, stepNorm, rows, stepInputs);
          ops.norm(selected, bNorm, rows, selected);
          ops.norm(selected, cNorm, rows, selected);
          // The scan adds the biases of step sizes.
          ops.linear(stepInputs, loaded["steps"]!, null, rows, steps, false);
          ops.scan(step, scan, { x: convolved, vectors: selected, steps }, scanned);
          ops.gate(scanned, projected, gate, rows, channels);
          ops.linear(scanned, loaded["output"]!, loaded["outputBias"] ?? null, rows, out, add);
        },
      };
    },
  };
}
