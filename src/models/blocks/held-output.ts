/** @file Blocks whose output is added to the residual stream later than where they read it, as a shortcut past the blocks between. */
import type { StreamMix } from "../../backends/ops.ts";
import type { Block, Norm } from "./block.ts";
import { innerOutput, innerSpecs, innerWeights } from "./inner-weights.ts";

/** Before the names of the weights of a block that another is made of. */
const INNER = "inner";

/** The whole row, as it is, on top of another. */
const ADDED: StreamMix = {
  ...{ from: { first: 0, count: 1, of: 1 }, to: { first: 0, count: 1, of: 1 } },
  ...{ first: 0, stride: 0, factor: 1, add: true },
};

/** The block, whose output goes into the scratch buffer `name`, which no other block has, and adds nothing to the stream. */
export function held(block: Block, name: string, hiddenSize: number): Block {
  return {
    ...block,
    scratch: { ...block.scratch, [name]: hiddenSize },
    bind: (weights, context) => {
      const running = block.bind(weights, context);
      return { ...running, run: (at, x) => running.run(at, x, at.scratch(name), false) };
    },
  };
}

/**
 * The block, which reads the sum of its row and of what `held` has left under the name, normed. norm: weight and epsilon of that norm. What is left
 * there is then the sum.
 */
export function readingHeld(block: Block, name: string, hiddenSize: number, norm: Pick<Norm, "weight" | "eps">): Block {
  return {
    ...block,
    weights: { sumNorm: norm.weight, ...innerSpecs(INNER, block.weights) },
    ...innerOutput(INNER, block),
    scratch: { ...block.scratch, [name]: hiddenSize, normedSum: hiddenSize },
    bind: (weights, context) => {
      const running = block.bind(innerWeights(INNER, weights), context);
      return {
        ...running,
        run: (at, x, out, add) => {
          const { ops, rows, scratch } = at;
          ops.mixStreams(x, ADDED, null, rows, hiddenSize, scratch(name));
          ops.rmsNorm(scratch(name), weights["sumNorm"]!, norm.eps, rows, scratch("normedSum"));
          running.run(at, scratch("normedSum"), out, add);
        },
      };
    },
  };
}

/** The block, which adds what `held` has left under the name to its own output. */
export function addingHeld(block: Block, name: string, hiddenSize: number): Block {
  return {
    ...block,
    scratch: { ...block.scratch, [name]: hiddenSize },
    bind: (weights, context) => {
      const running = block.bind(weights, context);
      return {
        ...running,
        run: (at, x, out, add) => {
          running.run(at, x, out, add);
          at.ops.mixStreams(at.scratch(name), ADDED, null, at.rows, hiddenSize, out);
        },
      };
    },
  };
}
