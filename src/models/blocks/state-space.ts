/**
 * @file The mixer of Mamba-2 (Dao and Gu, arXiv 2405.21060): one product for gate, x, B, C and step sizes, a convolution of x, B and C,
 * the scan, a norm of groups with the gate before or behind it, output projection.
 */
import type { Convolution, RowNorm, Scan } from "../../backends/ops.ts";
import { convolutionBytes, scanBytes } from "../../backends/state-ops.ts";
import { type Block, bias, norm, stackedMatrix, taps, type WeightSpecs } from "./block.ts";

export interface StateSpaceShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly headDim: number;
  /** Groups of heads that share B and C, and parts of a row that are normed. */
  readonly numGroups: number;
  readonly stateSize: number;
  /** Taps of a channel of the convolution. */
  readonly kernel: number;
  readonly biases: { readonly input: boolean; readonly convolution: boolean; readonly output: boolean };
  /** Limits of step sizes. */
  readonly minStep: number;
  readonly maxStep: number;
  /** Whether the gate is multiplied before the norm or behind it; `none` for the gate alone. */
  readonly norm: "behindGate" | "beforeGate" | "none";
  readonly normEps: number;
  /** Factors of the projected gate, x, B, C and step sizes, and of the output. */
  readonly factors: {
    readonly gate: number;
    readonly x: number;
    readonly b: number;
    readonly c: number;
    readonly step: number;
    readonly output: number;
  };
}

export const NO_FACTORS: StateSpaceShape["factors"] = { gate: 1, x: 1, b: 1, c: 1, step: 1, output: 1 };

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.mamba.` */
export function stateSpace(prefix: string, shape: StateSpaceShape): Block {
  const { hiddenSize, numHeads, headDim, numGroups, stateSize, kernel, biases, normEps, factors } = shape;
  const inner = numHeads * headDim;
  const vectors = numGroups * stateSize;
  const channels = inner + 2 * vectors;
  const width = inner + channels + numHeads;
  const isNormed = shape.norm !== "none";
  const weights: WeightSpecs = {
    input: stackedMatrix(hiddenSize, [[`${prefix}in_proj.weight`, width]]),
    ...(biases.input && { inputBias: bias([[`${prefix}in_proj.bias`, width]]) }),
    taps: taps(kernel, [[[`${prefix}conv1d.weight`, channels]]]),
    ...(biases.convolution && { convolutionBias: bias([[`${prefix}conv1d.bias`, channels]]) }),
    parameters: bias(["A_log", "D", "dt_bias"].map((name) => [`${prefix}${name}`, numHeads])),
    ...(isNormed && { norm: { ...norm(`${prefix}norm.weight`, inner), scale: factors.output } }),
    output: stackedMatrix(inner, [[`${prefix}out_proj.weight`, hiddenSize]]),
    ...(biases.output && {
      outputBias: { ...bias([[`${prefix}out_proj.bias`, hiddenSize]]), scale: factors.output },
    }),
  };
  const projectedFactors = [
    { end: inner, factor: factors.gate },
    { end: 2 * inner, factor: factors.x },
    { end: 2 * inner + vectors, factor: factors.b },
    { end: inner + channels, factor: factors.c },
    { end: width, factor: factors.step },
  ];
  const scalesProjected = projectedFactors.some(({ factor }) => factor !== 1);
  // A norm has the factor among its weights.
  const scannedFactors = isNormed || factors.output === 1 ? null : [{ end: inner, factor: factors.output }];
  const convolutionState = convolutionBytes(channels, kernel);
  const scanAt = Math.ceil(convolutionState / 16) * 16;
  return {
    weights,
    scratch: { projected: width, convolved: channels, scanned: inner },
    state: { kind: "recurrent", numBytes: scanAt + scanBytes(shape) },
    bind: (loaded, { stateIndex }) => {
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        channels,
        kernel,
        weight: loaded["taps"]!,
        bias: loaded["convolutionBias"] ?? null,
        activation: "silu",
        input: { first: inner, stride: width },
        inputGate: null,
        outputGate: null,
      };
      const scan: Scan = {
        state: { index: stateIndex, offset: scanAt },
        numHeads,
        headDim,
        numGroups,
        stateSize,
        parameters: loaded["parameters"]!,
        isPerState: false,
        minStep: shape.minStep,
        maxStep: shape.maxStep,
        x: { first: 0, stride: channels },
        steps: { first: inner + channels, stride: width },
        vectors: { b: inner, c: inner + vectors, stride: channels },
      };
      const gate = { first: 0, stride: width, repeat: 1, activation: "silu" } as const;
      const rowNorm: RowNorm | null = isNormed
        ? { kind: "rms", weight: loaded["norm"]!, bias: null, eps: normEps, add: false, groups: numGroups }
        : null;
      return {
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [projected, convolved, scanned] = [scratch("projected"), scratch("convolved"), scratch("scanned")];
          ops.linear(x, loaded["input"]!, loaded["inputBias"] ?? null, rows, projected, false);
          if (scalesProjected) ops.scaleColumns(projected, projectedFactors, rows, width);
          ops.convolve(step, convolution, projected, convolved);
          ops.scan(step, scan, { x: convolved, vectors: convolved, steps: projected }, scanned);
          if (rowNorm && shape.norm === "beforeGate") ops.norm(scanned, rowNorm, rows, scanned);
          ops.gate(scanned, projected, gate, rows, inner);
          if (rowNorm && shape.norm === "behindGate") ops.norm(scanned, rowNorm, rows, scanned);
          if (scannedFactors) ops.scaleColumns(scanned, scannedFactors, rows, inner);
          ops.linear(scanned, loaded["output"]!, loaded["outputBias"] ?? null, rows, out, add);
        },
      };
    },
  };
}
