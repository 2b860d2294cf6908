/** @file Products of low rank on top of others, by which layers differ that share weights (LoRA, arXiv 2106.09685, as a part of the model). */
import type { Buf, StreamMix } from "../../backends/ops.ts";
import { type BlockStep, stackedMatrix, type WeightSpecs, type Weights } from "./block.ts";

/** What is added to a product of the same input. */
export interface Adapter {
  readonly weights: WeightSpecs;
  readonly scratch: Readonly<Record<string, number>>;
  /** Adds to every row of `out` what it makes of that of x. */
  bind(weights: Weights): (at: BlockStep, x: Buf, out: Buf) => void;
}

export interface AdapterShape {
  /** Columns of x. */
  readonly inputs: number;
  readonly rank: number;
  /** Names of the tensors of each part of the product's rows, in order; `.0.weight` and `.1.weight` follow. */
  readonly parts: readonly string[];
  /** Rows of each part. */
  readonly outputs: number;
}

export function lowRankAdapter({ inputs, rank, parts, outputs }: AdapterShape): Adapter {
  const placed = (part: number): StreamMix => ({
    from: { first: 0, count: 1, of: 1 },
    to: { first: part, count: 1, of: parts.length },
    ...{ first: 0, stride: 0, factor: 1, add: true },
  });
  const mixes = parts.map((_, part) => placed(part));
  return {
    weights: Object.fromEntries(
      parts.flatMap((name, part) => [
        [`down${part}`, stackedMatrix(inputs, [[`${name}.0.weight`, rank]])],
        [`up${part}`, stackedMatrix(rank, [[`${name}.1.weight`, outputs]])],
      ]),
    ),
    scratch: { adapterRank: rank, ...(parts.length > 1 && { adapterOutput: outputs }) },
    bind:
      (weights) =>
      ({ ops, rows, scratch }, x, out) => {
        const low = scratch("adapterRank");
        for (const [part, mix] of mixes.entries()) {
          ops.linear(x, weights[`down${part}`]!, null, rows, low, false);
          const up = weights[`up${part}`]!;
          if (mixes.length === 1) ops.linear(low, up, null, rows, out, true);
          else {
            const own = scratch("adapterOutput");
            ops.linear(low, up, null, rows, own, false);
            ops.mixStreams(own, mix, null, rows, outputs, out);
          }
        }
      },
  };
}
