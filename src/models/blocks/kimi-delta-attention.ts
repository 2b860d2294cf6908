/**
 * @file Kimi delta attention (arXiv 2510.26692): a causal convolution of q, k and v; the delta rule with a decay for each channel
 * of keys; a norm of each head, times the sigmoid of a gate; output projection. Decays and gates are made of the block's input
 * by one matrix each, or by two with a narrow row between them.
 */
import type { Buf, Columns, Convolution, DeltaRule, Gates, Ops, RowParts } from "../../backends/ops.ts";
import { alignedPart, convolutionBytes, storedDeltaDim } from "../../backends/state-ops.ts";
import { type Block, bias, norm, type StackPart, stackedMatrix, taps, type WeightSpecs } from "./block.ts";

export interface KimiDeltaShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  /** Of q, k and v; at most MAX_DELTA_DIM. */
  readonly headDim: number;
  /** Taps of the convolution. */
  readonly kernel: number;
  readonly normEps: number;
  /** Values of the narrow rows that decays and gates are made of; null where one matrix makes them. */
  readonly gateRank: number | null;
  /** See `DeltaRule.decayBound`. */
  readonly decayBound: number | null;
}

/** What a family calls the tensors that differ, without the prefix and `.weight`. */
export interface KimiDeltaTensors {
  /** One matrix, or those down and up. */
  readonly decay: readonly string[];
  readonly gate: readonly string[];
  readonly output: string;
}

/** Heads as the rule takes them, with zeros behind the coordinates of each; null where it takes them as they are. */
function storedHeads(numHeads: number, headDim: number) {
  const stored = storedDeltaDim(headDim);
  if (stored === headDim) return null;
  const parts = (width: number, { first, stride }: Columns): RowParts => ({ first, width, stride });
  const whole = (count: number, width: number): RowParts => ({ first: 0, width, stride: count * width });
  return {
    headDim: stored,
    /** Heads of a row, from a column on. */
    widen: (ops: Ops, rows: number, count: number, x: Buf, from: Columns, out: Buf): void =>
      ops.resizeParts(x, parts(headDim, from), count, rows, out, whole(count, stored)),
    narrow: (ops: Ops, rows: number, x: Buf, out: Buf): void =>
      ops.resizeParts(x, whole(numHeads, stored), numHeads, rows, out, whole(numHeads, headDim)),
    order: {
      unit: headDim,
      numRows: numHeads * stored,
      place: (row: number) => Math.floor(row / headDim) * stored + (row % headDim),
    },
  };
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.self_attn.` */
export function kimiDeltaAttention(prefix: string, shape: KimiDeltaShape, tensors: KimiDeltaTensors): Block {
  const { hiddenSize, numHeads, headDim, kernel, normEps, gateRank, decayBound } = shape;
  const width = numHeads * headDim;
  const channels = 3 * width;
  const named = (name: string, rows: number): StackPart => [`${prefix}${name}.weight`, rows];
  const isDirect = gateRank === null;
  const rows = [
    ...["q_proj", "k_proj", "v_proj"].map((name) => named(name, width)),
    ...(isDirect ? [named(tensors.gate[0]!, width), named(tensors.decay[0]!, width)] : []),
    named("b_proj", numHeads),
  ];
  const stride = channels + (isDirect ? 2 * width : 0) + numHeads;
  const from = (first: number): Columns => ({ first, stride });
  const own: Columns = { first: 0, stride: width };
  const low = ([down, up]: readonly string[], name: string): WeightSpecs =>
    gateRank === null
      ? {}
      : {
          [`${name}Down`]: stackedMatrix(hiddenSize, [named(down!, gateRank)]),
          [`${name}Up`]: stackedMatrix(gateRank, [named(up!, width)]),
        };
  const decayLog = bias([[`${prefix}A_log`, numHeads]]);
  const tailBytes = alignedPart(convolutionBytes(channels, kernel));
  const wide = storedHeads(numHeads, headDim);
  const ruleDim = wide?.headDim ?? headDim;
  const ruleWidth = numHeads * ruleDim;
  return {
    weights: {
      input: stackedMatrix(hiddenSize, rows),
      ...low(tensors.decay, "decay"),
      ...low(tensors.gate, "gate"),
      taps: taps(kernel, [
        ["q_conv1d", "k_conv1d", "v_conv1d"].map((name) => [`${prefix}${name}.weight`, width]),
        [[`${prefix}conv1d.weight`, channels]],
      ]),
      // Some files have a dimension for each of those that it is spread over.
      decayLog: { ...decayLog, forms: [[{ name: `${prefix}A_log`, shape: [1, 1, numHeads, 1] }]] },
      // Loaded as one row, as those of norms are, because only rows get zeros between their values.
      decayBias: wide ? norm(`${prefix}dt_bias`, width, wide.order) : bias([[`${prefix}dt_bias`, width]]),
      norm: norm(`${prefix}o_norm.weight`, headDim),
      output: stackedMatrix(width, [named(tensors.output, hiddenSize)]),
    },
    scratch: {
      deltaInputs: stride,
      convolved: channels,
      attended: width,
      ...(gateRank !== null && { gateDown: gateRank, deltaGate: width }),
      ...(wide && { wideConvolved: 3 * ruleWidth, wideDecays: ruleWidth, wideHeads: ruleWidth }),
    },
    // On a CPU decays by channel are applied row by row, so the state is the same however a prompt is cut.
    state: {
      kind: "recurrent",
      numBytes: tailBytes + 4 * ruleWidth * ruleDim,
      delta: { numHeads, keyDim: ruleDim, isByChannel: true },
    },
    bind: (weights, { stateIndex }) => {
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        channels,
        kernel,
        weight: weights["taps"]!,
        bias: null,
        activation: "silu",
        input: from(0),
        inputGate: null,
        outputGate: null,
      };
      const decays = isDirect ? from(channels + width) : own;
      const rule: DeltaRule = {
        state: { index: stateIndex, offset: tailBytes },
        numHeads,
        numKeyHeads: numHeads,
        keyDim: ruleDim,
        valueDim: ruleDim,
        rateScale: 1,
        rate: from(stride - numHeads),
        decay: wide ? { first: 0, stride: ruleWidth } : decays,
        isByChannel: true,
        decayLog: weights["decayLog"]!,
        decayBias: weights["decayBias"]!,
        decayBound,
      };
      const gates: Gates = { ...(isDirect ? from(channels) : own), repeat: 1, activation: "sigmoid" };
      // Queries are divided by the root of the rule's width, which the norm makes up for if its epsilon has the square.
      const headEps = (normEps * headDim) / ruleDim;
      const { input, decayDown, decayUp, gateDown, gateUp, norm: headNorm, output } = weights;
      return {
        run: ({ ops, step, rows: count, scratch }, x, out, add) => {
          const [inputs, convolved, heads] = [scratch("deltaInputs"), scratch("convolved"), scratch("attended")];
          ops.linear(x, input!, null, count, inputs, false);
          ops.convolve(step, convolution, inputs, convolved);
          // Decays are read before gates take their buffer.
          const narrow = isDirect ? null : scratch("gateDown");
          const beside = isDirect ? inputs : scratch("deltaGate");
          if (narrow) {
            ops.linear(x, decayDown!, null, count, narrow, false);
            ops.linear(narrow, decayUp!, null, count, beside, false);
          }
          if (wide) {
            const [ruleInputs, ruleDecays] = [scratch("wideConvolved"), scratch("wideDecays")];
            const ruleHeads = scratch("wideHeads");
            wide.widen(ops, count, 3 * numHeads, convolved, { first: 0, stride: channels }, ruleInputs);
            wide.widen(ops, count, numHeads, beside, decays, ruleDecays);
            ops.deltaRule(step, rule, ruleInputs, inputs, ruleDecays, ruleHeads);
            wide.narrow(ops, count, ruleHeads, heads);
          } else ops.deltaRule(step, rule, convolved, inputs, beside, heads);
          if (narrow) {
            ops.linear(x, gateDown!, null, count, narrow, false);
            ops.linear(narrow, gateUp!, null, count, beside, false);
          }
          ops.rmsNorm(heads, headNorm!, headEps, count * numHeads, heads);
          ops.gate(heads, beside, gates, count, width);
          ops.linear(heads, output!, null, count, out, add);
        },
      };
    },
  };
}
