/**
 * @file A compressor of tokens (DeepSeek-V4): of each run of neighbouring tokens it makes one row, a mean of what they have with the weights of a softmax
 * of gates, coordinate by coordinate. With two series a token counts in its own run's row and in that of the next.
 */

import { compressionLength } from "../../backends/compress-rows.ts";
import type { Compression } from "../../backends/ops.ts";
import { type Block, stackedMatrix } from "./block.ts";

export interface CompressorShape {
  readonly hiddenSize: number;
  /** Coordinates of a row. */
  readonly width: number;
  readonly tokensPerRow: number;
  readonly series: 1 | 2;
}

/** Leaves the rows that end in a step in the scratch buffer `rows`, one behind the other. prefix: beginning of the tensors' names */
export function compressor(prefix: string, shape: CompressorShape, rows: string): Block {
  const { hiddenSize, width, tokensPerRow, series } = shape;
  const all = series * width;
  const of = { tokensPerRow, width, series, isGated: true, stride: 2 * all } as const;
  return {
    weights: {
      inputs: stackedMatrix(hiddenSize, [
        [`${prefix}wkv.weight`, all],
        [`${prefix}wgate.weight`, all],
      ]),
      gateBias: { role: "bias", tensors: [{ name: `${prefix}ape`, shape: [tokensPerRow, all] }] },
    },
    scratch: { compressed: 2 * all, [rows]: width },
    state: { kind: "recurrent", numBytes: 4 * compressionLength(of) },
    needs: ["compressesTokens"],
    bind: ({ inputs, gateBias }, { stateIndex }) => {
      const compression: Compression = { ...of, state: { index: stateIndex, offset: 0 }, gateBias: gateBias! };
      return {
        run: ({ ops, step, rows: count, scratch }, x) => {
          const values = scratch("compressed");
          ops.linear(x, inputs!, null, count, values, false);
          ops.compress(step, compression, values, scratch(rows));
        },
      };
    },
  };
}
