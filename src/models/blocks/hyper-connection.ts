/**
 * @file Several residual streams as DeepSeek-V4 has them (manifold-constrained hyper-connections, arXiv 2512.24880): what a branch reads, where its result
 * goes, and what the streams become are sums with factors for each token, and those of the last are a matrix whose rows and columns add up to 1.
 */
import type { RowNorm, StreamFactors } from "../../backends/ops.ts";
import {
  type BlockStep,
  type BranchStreams,
  bias,
  plainNorm,
  type StreamEnd,
  type Streams,
  type WeightSpecs,
  type Weights,
} from "./block.ts";
import { all, plain, ROW } from "./stream-sums.ts";

export interface HyperConnectionShape {
  readonly hiddenSize: number;
  /** Number of streams. */
  readonly count: number;
  /** See `StreamFactors`. */
  readonly epsilon: number;
  readonly iterations: number;
  readonly normEps: number;
}

/** prefix: beginning of the tensors' names · width: number of factors */
function factorWeights(prefix: string, { hiddenSize, count }: HyperConnectionShape, width: number): WeightSpecs {
  return {
    ones: plainNorm(count * hiddenSize),
    matrix: { role: "router", tensors: [{ name: `${prefix}fn`, shape: [width, count * hiddenSize] }] },
    bias: bias([[`${prefix}base`, width]]),
    scale: bias([[`${prefix}scale`, width === count ? 1 : 3]]),
  };
}

const scratchOf = ({ hiddenSize, count }: HyperConnectionShape, width: number) => ({
  ...{ streamNorms: count * hiddenSize, streamFactors: width },
});

/** What makes the factors of all streams together. returns: their buffer */
function factorsOf(shape: HyperConnectionShape, weights: Weights) {
  const ofAll: RowNorm = { kind: "rms", weight: weights["ones"]!, bias: null, eps: shape.normEps, add: false };
  const of: StreamFactors = {
    ...{ streams: shape.count, scale: weights["scale"]!, bias: weights["bias"]! },
    ...{ epsilon: shape.epsilon, iterations: shape.iterations },
  };
  return ({ ops, rows, scratch }: BlockStep, streams: Parameters<RunningSums>[1]) => {
    const [norms, factors] = [scratch("streamNorms"), scratch("streamFactors")];
    ops.norm(streams, ofAll, rows, norms);
    ops.linear(norms, weights["matrix"]!, null, rows, factors, false);
    ops.streamFactors(factors, of, rows);
    return factors;
  };
}

type RunningSums = ReturnType<StreamEnd["bind"]>;

/** The streams around a branch. prefix: beginning of the tensors' names, e.g. `model.layers.0.hc_attn_` */
export function hyperConnection(prefix: string, shape: HyperConnectionShape): BranchStreams {
  const { hiddenSize, count } = shape;
  const stride = count * (2 + count);
  return {
    weights: factorWeights(prefix, shape, stride),
    scratch: scratchOf(shape, stride),
    bind: (weights) => {
      const factors = factorsOf(shape, weights);
      const read = plain(all(count), ROW, { stride });
      const mixed = plain(all(count), all(count), { first: 2 * count, stride });
      const added = plain(ROW, all(count), { first: count, stride, add: true });
      return {
        before: (at, streams, hidden) =>
          at.ops.mixStreams(streams, read, factors(at, streams), at.rows, hiddenSize, hidden),
        after: ({ ops, rows, scratch }, streams, hidden) => {
          ops.mixStreams(streams, mixed, scratch("streamFactors"), rows, hiddenSize, streams);
          ops.mixStreams(hidden, added, scratch("streamFactors"), rows, hiddenSize, streams);
        },
      };
    },
  };
}

/** All streams are the embeddings at first, and a sum with factors at the end. prefix: of the tensors of that sum */
export function hyperStreams(prefix: string, shape: HyperConnectionShape): Streams {
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
    weights: factorWeights(prefix, shape, count),
    scratch: scratchOf(shape, count),
    bind: (weights) => {
      const factors = factorsOf(shape, weights);
      const read = plain(all(count), ROW, { stride: count });
      return (at, streams, row) => at.ops.mixStreams(streams, read, factors(at, streams), at.rows, hiddenSize, row);
    },
  };
  return { count, begin, end };
}
