/**
 * @file Alternating updates (AltUp, arXiv 2301.13310) of several residual streams, as Gemma 3n has them: a layer predicts all streams of all, computes on
 * one of them, and corrects all by what it made of that one.
 */
import type { RowNorm, Weight } from "../../backends/ops.ts";
import {
  type BlockStep,
  type BranchStreams,
  matrix,
  norm,
  plainNorm,
  type StreamEnd,
  type Streams,
  stackedMatrix,
  type WeightSpec,
} from "./block.ts";
import { all, one, plain, ROW } from "./stream-sums.ts";

interface AlternatingShape {
  readonly hiddenSize: number;
  /** Number of streams. */
  readonly count: number;
  /** The one that layers compute on. */
  readonly active: number;
  /** Whether the active stream is multiplied by learned factors before the inputs of layers are gated by it. */
  readonly scalesCorrected: boolean;
  readonly normEps: number;
}

/** Streams whose mean square is less are not made longer. */
const LEAST_SQUARE = 1e-5;

/** The columns of one stream, as a row of their own. */
const streamNorm = (
  norm: Pick<RowNorm, "kind" | "weight" | "eps">,
  stream: number,
  count: number,
  hiddenSize: number,
): RowNorm => ({
  ...{ ...norm, bias: null, add: false },
  ...{ first: stream * hiddenSize, stride: count * hiddenSize, isCompact: true },
});

/** A small matrix, of which coefficients of streams are made. */
const router = (name: string, rows: number, cols: number): WeightSpec => ({
  role: "router",
  tensors: [matrix(name, rows, cols)],
});

/** Predicts before a layer's attention, and corrects behind its feed-forward. prefix: beginning of the tensors' names */
export function alternatingUpdates(prefix: string, shape: AlternatingShape): BranchStreams {
  const { hiddenSize, count, active, normEps } = shape;
  const squares = count * count;
  return {
    weights: {
      routerNorm: { ...norm(`${prefix}altup.router_norm.weight`, hiddenSize), scale: 1 / hiddenSize },
      router: router(`${prefix}altup.modality_router.weight`, count, hiddenSize),
      prediction: router(`${prefix}altup.prediction_coefs.weight`, squares, count),
      correction: router(`${prefix}altup.correction_coefs.weight`, count, count),
      // Coefficients of corrections are 1 more than the product.
      ones: plainNorm(count),
    },
    scratch: { routed: hiddenSize, modalities: count, streamCoefficients: squares },
    bind: ({ routerNorm, router, prediction, correction, ones }) => {
      const modalities = ({ ops, rows, scratch }: BlockStep) => {
        const values = scratch("modalities");
        ops.linear(scratch("routed"), router!, null, rows, values, false);
        // The cap of 1 is the hyperbolic tangent.
        ops.softcap(values, rows * count, 1);
        return values;
      };
      const ofActive = streamNorm({ kind: "rms", weight: routerNorm!, eps: normEps }, active, count, hiddenSize);
      const ofRow: RowNorm = { kind: "rms", weight: routerNorm!, bias: null, eps: normEps, add: false };
      const predicted = plain(all(count), all(count), { stride: squares, add: true });
      const computedOn = plain(one(active, count), ROW);
      // Less the prediction: what is new of the active stream.
      const innovation = plain(one(active, count), ROW, { factor: -1, add: true });
      const corrected = plain(ROW, all(count), { stride: count, add: true });
      return {
        before: (at, streams, hidden) => {
          const { ops, rows, scratch } = at;
          const coefficients = scratch("streamCoefficients");
          ops.norm(streams, ofActive, rows, scratch("routed"));
          ops.linear(modalities(at), prediction!, null, rows, coefficients, false);
          ops.mixStreams(streams, predicted, coefficients, rows, hiddenSize, streams);
          ops.mixStreams(streams, computedOn, null, rows, hiddenSize, hidden);
        },
        after: (at, streams, hidden) => {
          const { ops, rows, scratch } = at;
          const coefficients = scratch("streamCoefficients");
          ops.norm(hidden, ofRow, rows, scratch("routed"));
          ops.linear(modalities(at), correction!, ones!, rows, coefficients, false);
          ops.mixStreams(streams, innovation, null, rows, hiddenSize, hidden);
          ops.mixStreams(hidden, corrected, coefficients, rows, hiddenSize, streams);
        },
      };
    },
  };
}

/** The branch reads the active stream, and what it makes is added to all but the first. */
export function alternatingInput(prefix: string, shape: AlternatingShape): BranchStreams {
  const { hiddenSize, count, active, scalesCorrected } = shape;
  const scale = norm(`${prefix}altup.correct_output_scale`, hiddenSize);
  return {
    weights: { ...(scalesCorrected && { scale }) },
    scratch: {},
    bind: (weights) => {
      const own = weights["scale"];
      const scaled = own ? streamNorm({ kind: "none", weight: own, eps: 0 }, active, count, hiddenSize) : null;
      const gatedBy = plain(one(active, count), ROW);
      const others = plain(ROW, { first: 1, count: count - 1, of: count }, { add: true });
      return {
        before: ({ ops, rows }, streams, hidden) => {
          if (scaled) ops.norm(streams, scaled, rows, hidden);
          else ops.mixStreams(streams, gatedBy, null, rows, hiddenSize, hidden);
        },
        after: ({ ops, rows }, streams, hidden) => ops.mixStreams(hidden, others, null, rows, hiddenSize, streams),
      };
    },
  };
}

/** Further streams are projections of the embeddings, as long as these; behind the layers the mean of projections of them, as long as the first. */
export function alternatingStreams(hiddenSize: number, count: number): Streams {
  const others = Array.from({ length: count - 1 }, (_, i) => i + 1);
  const weightsOf = (name: string) => ({
    ones: plainNorm(hiddenSize),
    ...Object.fromEntries(
      others.map((stream) => [
        `${stream}`,
        stackedMatrix(hiddenSize, [[`model.${name}.${stream - 1}.weight`, hiddenSize]]),
      ]),
    ),
  });
  const matching = (ones: Weight, like: RowNorm["like"]): RowNorm => ({
    ...{ kind: "rms", weight: ones, bias: null, eps: LEAST_SQUARE, add: false },
    ...(like && { like }),
  });
  const begin: StreamEnd = {
    weights: weightsOf("altup_projections"),
    scratch: { projectedStream: hiddenSize },
    bind:
      (weights) =>
      ({ ops, rows, scratch }, streams, hidden) => {
        const projected = scratch("projectedStream");
        ops.mixStreams(hidden, plain(ROW, one(0, count)), null, rows, hiddenSize, streams);
        const like = matching(weights["ones"]!, { rows: hidden, first: 0, stride: hiddenSize });
        for (const stream of others) {
          ops.linear(hidden, weights[`${stream}`]!, null, rows, projected, false);
          ops.norm(projected, like, rows, projected);
          ops.mixStreams(projected, plain(ROW, one(stream, count)), null, rows, hiddenSize, streams);
        }
      },
  };
  const end: StreamEnd = {
    weights: weightsOf("altup_unembed_projections"),
    scratch: { projectedStream: hiddenSize, takenStream: hiddenSize },
    bind:
      (weights) =>
      ({ ops, rows, scratch }, streams, row) => {
        const [projected, taken] = [scratch("projectedStream"), scratch("takenStream")];
        const like = matching(weights["ones"]!, { rows: streams, first: 0, stride: count * hiddenSize });
        ops.mixStreams(streams, plain(one(0, count), ROW, { factor: 1 / count }), null, rows, hiddenSize, row);
        for (const stream of others) {
          ops.mixStreams(streams, plain(one(stream, count), ROW), null, rows, hiddenSize, taken);
          ops.linear(taken, weights[`${stream}`]!, null, rows, projected, false);
          ops.norm(projected, like, rows, projected);
          const mean = plain(ROW, ROW, { factor: 1 / count, add: true });
          ops.mixStreams(projected, mean, null, rows, hiddenSize, row);
        }
      },
  };
  return { count, begin, end };
}
