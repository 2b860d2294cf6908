/**
 * @file Several residual streams as Qwen 4 has them: a branch reads the mean of their norms, coordinate by coordinate through gates of low rank, and what
 * it makes is added to each stream with a factor between 0 and 2.
 */
import type { Activation, Buf, Gates, RowNorm, Weight } from "../../backends/ops.ts";
import {
  type BlockStep,
  type BranchStreams,
  norm,
  type StreamEnd,
  type Streams,
  stackedMatrix,
  type WeightSpecs,
  type Weights,
  withOffset,
} from "./block.ts";
import { all, plain, ROW } from "./stream-sums.ts";

export interface GatedResidualShape {
  readonly hiddenSize: number;
  /** Number of streams. */
  readonly count: number;
  /** Of the gates. */
  readonly rank: number;
  readonly normEps: number;
  /** What is added to the stored weights of norms. */
  readonly normOffset: number;
}

const SILU: Activation = { kind: "silu", isGated: false, alphas: null };
/** Factors are 1 + tanh(x / 2), which is twice the sigmoid of x. */
const FACTOR_CAP = 2;

const scratchOf = ({ hiddenSize, count, rank }: GatedResidualShape) => ({
  ...{ streamNorms: count * hiddenSize, streamGates: count * hiddenSize },
  ...{ streamGatesDown: rank, streamGatesActivated: rank },
});

/** prefix: beginning of the tensors' names */
function mixWeights(prefix: string, shape: GatedResidualShape): WeightSpecs {
  const { hiddenSize, count, rank, normOffset } = shape;
  const width = count * hiddenSize;
  return {
    // All that is made of the norms is divided by the number of streams.
    norm: { ...withOffset(norm(`${prefix}hc_norm.weight`, width), normOffset), scale: 1 / count },
    down: stackedMatrix(width, [[`${prefix}input_mix_weight_down.weight`, rank]]),
    up: stackedMatrix(rank, [[`${prefix}input_mix_weight_up.weight`, width]]),
  };
}

/** Makes the row that a branch reads; factors: of the matrix that makes those of the branch's result, and the buffer for them */
function mixer(shape: GatedResidualShape, { norm: weight, down, up }: Weights) {
  const { hiddenSize, count, normEps } = shape;
  const width = count * hiddenSize;
  const byStream: RowNorm = {
    ...{ kind: "rms", weight: weight!, bias: null, eps: normEps },
    ...{ add: false, groups: count },
  };
  const gates: Gates = { first: 0, stride: width, repeat: 1, activation: "sigmoid" };
  const mean = plain(all(count), ROW);
  return ({ ops, rows, scratch }: BlockStep, streams: Buf, row: Buf, factors?: { weight: Weight; out: Buf }): void => {
    const [norms, ofNorms] = [scratch("streamNorms"), scratch("streamGates")];
    const [low, activated] = [scratch("streamGatesDown"), scratch("streamGatesActivated")];
    ops.norm(streams, byStream, rows, norms);
    if (factors) {
      ops.linear(norms, factors.weight, null, rows, factors.out, false);
      ops.softcap(factors.out, rows * count, FACTOR_CAP);
    }
    ops.linear(norms, down!, null, rows, low, false);
    ops.activate(low, SILU, rows, shape.rank, activated);
    ops.linear(activated, up!, null, rows, ofNorms, false);
    ops.gate(norms, ofNorms, gates, rows, width);
    ops.mixStreams(norms, mean, null, rows, hiddenSize, row);
  };
}

/** The streams around a branch. prefix: beginning of the tensors' names, e.g. `model.layers.0.attn_hyper_connection.` */
export function gatedResidual(prefix: string, shape: GatedResidualShape): BranchStreams {
  const { hiddenSize, count } = shape;
  return {
    weights: {
      ...mixWeights(prefix, shape),
      factors: {
        role: "router",
        tensors: [{ name: `${prefix}block_inject_weight.weight`, shape: [count, count * hiddenSize] }],
      },
    },
    scratch: { ...scratchOf(shape), streamFactors: count },
    isApart: true,
    bind: (weights) => {
      const mix = mixer(shape, weights);
      const added = plain(ROW, all(count), { add: true });
      const scaled = plain(ROW, all(count), { add: true, stride: count, factor: 1 / FACTOR_CAP });
      return {
        before: (at, streams, row) =>
          mix(at, streams, row, { weight: weights["factors"]!, out: at.scratch("streamFactors") }),
        after: ({ ops, rows, scratch }, streams, hidden) => {
          ops.mixStreams(hidden, added, null, rows, hiddenSize, streams);
          ops.mixStreams(hidden, scaled, scratch("streamFactors"), rows, hiddenSize, streams);
        },
      };
    },
  };
}

/** All streams are the embeddings at first, and the head reads the gated mean of their norms. prefix: of the tensors of that mean */
export function gatedStreams(prefix: string, shape: GatedResidualShape): Streams {
  const { hiddenSize, count } = shape;
  const copied = plain(ROW, all(count));
  const begin: StreamEnd = {
    weights: {},
    scratch: {},
    bind:
      () =>
      ({ ops, rows }, streams, row) =>
        ops.mixStreams(row, copied, null, rows, hiddenSize, streams),
  };
  const end: StreamEnd = {
    weights: mixWeights(prefix, shape),
    scratch: scratchOf(shape),
    bind: (weights) => mixer(shape, weights),
  };
  return { count, begin, end };
}
