/**
 * @file A transformer block that several layers share, beside the recurrent blocks of a hybrid (Zamba2, arXiv 2411.15242): it reads the residual
 * stream and the embeddings side by side, and a matrix of the layer's own behind it makes what the layer adds to what its recurrent block reads.
 */
import type { StreamMix } from "../../backends/ops.ts";
import { type Block, matrix, norm, type WeightSpec, type WeightSpecs } from "./block.ts";
import { innerOutput, innerSpecs, innerWeights } from "./inner-weights.ts";
import { EMBEDDINGS } from "./kept-embeddings.ts";

export interface SharedTransformerShape {
  readonly hiddenSize: number;
  readonly normEps: number;
  /** Reads twice hiddenSize, gives hiddenSize. */
  readonly attention: Block;
  readonly feedForward: Block;
  /** The tensor of the layer's own matrix, `.weight` included. */
  readonly output: string;
}

const ATTENTION = "attention";
const FEED_FORWARD = "feedForward";

const placed = (first: number): StreamMix => ({
  ...{ from: { first: 0, count: 1, of: 1 }, to: { first, count: 1, of: 2 } },
  ...{ first: 0, stride: 0, factor: 1, add: false },
});
const [STREAM_SIDE, EMBEDDING_SIDE] = [placed(0), placed(1)];

/** prefix: beginning of the names of shared tensors */
export function sharedTransformer(prefix: string, shape: SharedTransformerShape): Block {
  const { hiddenSize, normEps, attention, feedForward, output } = shape;
  // What only this layer has of the inner blocks, adapters, has no other layer's name, so that all may be said to be shared.
  const shared = (spec: WeightSpec): WeightSpec => ({ ...spec, isShared: true });
  const allShared = (specs: WeightSpecs): WeightSpecs =>
    Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, shared(spec)]));
  const weights: WeightSpecs = {
    inputNorm: shared(norm(`${prefix}input_layernorm.weight`, 2 * hiddenSize)),
    ...innerSpecs(ATTENTION, allShared(attention.weights)),
    innerNorm: shared(norm(`${prefix}pre_ff_layernorm.weight`, hiddenSize)),
    ...innerSpecs(FEED_FORWARD, allShared(feedForward.weights)),
    output: { role: "matrix", tensors: [matrix(output, hiddenSize, hiddenSize)] },
  };
  return {
    weights,
    scratch: {
      ...attention.scratch,
      ...feedForward.scratch,
      ...{
        sideBySide: 2 * hiddenSize,
        sharedInput: 2 * hiddenSize,
        sharedAttended: hiddenSize,
        sharedGiven: hiddenSize,
      },
    },
    state: attention.state,
    ...innerOutput(ATTENTION, attention),
    bind: (loaded, context) => {
      const attend = attention.bind(innerWeights(ATTENTION, loaded), context);
      const feed = feedForward.bind(innerWeights(FEED_FORWARD, loaded), context);
      const { inputNorm, innerNorm, output } = loaded;
      return {
        ...attend,
        run: (at, x, out, add) => {
          const { ops, rows, scratch } = at;
          const [both, input] = [scratch("sideBySide"), scratch("sharedInput")];
          const [attended, given] = [scratch("sharedAttended"), scratch("sharedGiven")];
          ops.mixStreams(x, STREAM_SIDE, null, rows, hiddenSize, both);
          ops.mixStreams(scratch(EMBEDDINGS), EMBEDDING_SIDE, null, rows, hiddenSize, both);
          ops.rmsNorm(both, inputNorm!, normEps, rows, input);
          attend.run(at, input, attended, false);
          ops.rmsNorm(attended, innerNorm!, normEps, rows, attended);
          feed.run(at, attended, given, false);
          ops.linear(given, output!, null, rows, out, add);
        },
      };
    },
  };
}
