/** @file The learned augmented residual layer (LAuReL, arXiv 2411.07501) of Gemma 3n, beside attention. */
import type { RowNorm } from "../../backends/ops.ts";
import { type Block, norm, plainNorm, stackedMatrix } from "./block.ts";

interface LearnedResidualShape {
  readonly hiddenSize: number;
  /** Values that a row is projected to and back from. */
  readonly rank: number;
  readonly normEps: number;
}

const SAME = { first: 0, count: 1, of: 1 };

/**
 * out = (out + x + norm(right · left · x)) / √2, of a branch beside attention, whose output is added to `out` before. prefix: beginning of the tensors'
 * names
 */
export function learnedResidual(prefix: string, { hiddenSize, rank, normEps }: LearnedResidualShape): Block {
  return {
    weights: {
      left: stackedMatrix(hiddenSize, [[`${prefix}laurel.linear_left.weight`, rank]]),
      right: stackedMatrix(rank, [[`${prefix}laurel.linear_right.weight`, hiddenSize]]),
      norm: norm(`${prefix}laurel.post_laurel_norm.weight`, hiddenSize),
      factor: { ...plainNorm(1), scale: Math.SQRT1_2 },
    },
    scratch: { learnedLow: rank, learned: hiddenSize },
    state: null,
    bind: ({ left, right, norm: weight, factor }) => {
      const added: RowNorm = { kind: "rms", weight: weight!, bias: null, eps: normEps, add: true, factor: factor! };
      const sum = { from: SAME, to: SAME, first: 0, stride: 0, factor: 1, add: true };
      return {
        run: ({ ops, rows, scratch }, x, out) => {
          const [low, learned] = [scratch("learnedLow"), scratch("learned")];
          ops.linear(x, left!, null, rows, low, false);
          ops.linear(low, right!, null, rows, learned, false);
          ops.mixStreams(x, sum, null, rows, hiddenSize, out);
          ops.norm(learned, added, rows, out);
        },
      };
    },
  };
}
