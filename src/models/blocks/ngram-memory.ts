/**
 * @file A memory of n-grams (Qwen 4's per-layer embeddings): the last tokens look up an embedding by hashes of their numbers, of which a value and a key for
 * each residual stream are made. How well a stream fits its key is the gate of the value, and a causal convolution adds what is near.
 */
import type { Convolution, Gates, Ngrams, RowNorm } from "../../backends/ops.ts";
import { alignedPart, convolutionBytes } from "../../backends/state-ops.ts";
import { type Block, matrix, norm, stackedMatrix, taps, withOffset } from "./block.ts";
import { all, plain, ROW } from "./stream-sums.ts";

export interface NgramMemoryShape {
  readonly hiddenSize: number;
  /** Number of residual streams. */
  readonly count: number;
  /** Values of a token's embedding, of all heads together. */
  readonly width: number;
  readonly ngrams: Omit<Ngrams, "state">;
  /** Rows of the table, and of each of the tensors that it is cut into. */
  readonly numRows: number;
  readonly numParts: number;
  /** Taps of the convolution, and tokens from one to the next. */
  readonly kernel: number;
  readonly dilation: number;
  readonly normEps: number;
  readonly normOffset: number;
}

/** The least product of a stream and its key that a root is taken of. */
const LEAST_MATCH = 1e-6;

/** Reads all streams and adds to them. prefix: beginning of the tensors' names, e.g. `model.layers.0.ple.` */
export function ngramMemory(prefix: string, shape: NgramMemoryShape): Block {
  const { hiddenSize, count, width, ngrams, numRows, numParts, kernel, dilation, normEps, normOffset } = shape;
  const streamsWidth = count * hiddenSize;
  const headDim = width / ngrams.heads.length;
  const table = `${prefix}ple_embedding.ngram_embedding.`;
  const ofPart = Math.ceil(numRows / numParts);
  const parts = Array.from({ length: Math.ceil(numRows / ofPart) }, (_, part) =>
    matrix(`${table}shard_${part}.weight`, Math.min(ofPart, numRows - part * ofPart), headDim),
  );
  const normOf = (name: string) => withOffset(norm(`${prefix}${name}.weight`, streamsWidth), normOffset);
  const tailBytes = alignedPart(convolutionBytes(streamsWidth, kernel, dilation));
  return {
    weights: {
      table: { role: "embedding", tensors: parts, forms: [[matrix(`${table}weight`, numRows, headDim)]] },
      key: stackedMatrix(width, [[`${prefix}key_proj.weight`, streamsWidth]]),
      value: stackedMatrix(width, [[`${prefix}value_proj.weight`, hiddenSize]]),
      keyNorm: normOf("norm_key"),
      queryNorm: normOf("norm_query"),
      tapsNorm: normOf("norm_conv"),
      taps: taps(kernel, [[[`${prefix}conv1d.weight`, streamsWidth]]]),
    },
    scratch: {
      ...{ ngrams: width, ngramKeys: streamsWidth, ngramValues: streamsWidth, ngramValue: hiddenSize },
      ngramMatches: count,
    },
    state: { kind: "recurrent", numBytes: tailBytes + alignedPart(4 * (ngrams.size - 1)) },
    needs: ["readsTokens"],
    bind: (weights, { stateIndex }) => {
      const byStream = (name: string): RowNorm => ({
        ...{ kind: "rms", weight: weights[name]!, bias: null, eps: normEps },
        ...{ add: false, groups: count },
      });
      const [keyNorm, queryNorm, tapsNorm] = [byStream("keyNorm"), byStream("queryNorm"), byStream("tapsNorm")];
      const own: Ngrams = { ...ngrams, state: { index: stateIndex, offset: tailBytes } };
      const convolution: Convolution = {
        state: { index: stateIndex, offset: 0 },
        ...{ channels: streamsWidth, kernel, dilation },
        ...{ weight: weights["taps"]!, bias: null, activation: "silu" },
        ...{ input: { first: 0, stride: streamsWidth }, inputGate: null, outputGate: null },
      };
      const match = { streams: count, scale: 1 / Math.sqrt(hiddenSize), floor: LEAST_MATCH };
      const gates: Gates = { first: 0, stride: count, repeat: hiddenSize, activation: "sigmoid" };
      const copied = plain(ROW, all(count));
      const added = plain(ROW, ROW, { add: true });
      return {
        run: ({ ops, step, rows, scratch }, streams, out) => {
          const [embedded, value, matches] = [scratch("ngrams"), scratch("ngramValue"), scratch("ngramMatches")];
          const [keys, values] = [scratch("ngramKeys"), scratch("ngramValues")];
          ops.embedNgrams(step, own, weights["table"]!, embedded);
          ops.linear(embedded, weights["key"]!, null, rows, keys, false);
          ops.norm(keys, keyNorm, rows, keys);
          ops.norm(streams, queryNorm, rows, values);
          ops.matchStreams(values, keys, match, rows, hiddenSize, matches);
          ops.linear(embedded, weights["value"]!, null, rows, value, false);
          ops.mixStreams(value, copied, null, rows, hiddenSize, values);
          ops.gate(values, matches, gates, rows, streamsWidth);
          ops.norm(values, tapsNorm, rows, keys);
          ops.mixStreams(values, added, null, rows, streamsWidth, out);
          ops.convolve(step, convolution, keys, values);
          ops.mixStreams(values, added, null, rows, streamsWidth, out);
        },
      };
    },
  };
}
