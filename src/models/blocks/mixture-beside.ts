/**
 * @file A dense feed-forward and a mixture of experts that read the same rows and are added up (Gemma 4). Each has a norm before it
 * and one behind it, and the router reads the rows with a norm of its own.
 */
import type { RowNorm, Weight } from "../../backends/ops.ts";
import { type Block, norm, type WeightSpec, type WeightSpecs } from "./block.ts";
import type { BesideDense } from "./expert-feed-forward.ts";
import { innerSpecs, innerWeights } from "./inner-weights.ts";

export interface BesideShape {
  readonly hiddenSize: number;
  readonly normEps: number;
  /** Norm of what the dense feed-forward reads: the tensor's name behind the prefix. */
  readonly denseNorm: string;
  readonly beside: BesideDense;
}

/** The scratch buffer that the router of a mixture beside a feed-forward reads. */
export const ROUTER_INPUT = "routerInput";

const DENSE = "dense";
const EXPERTS = "experts";

/** dense, experts: blocks of the layer; the router of `experts` reads `ROUTER_INPUT` · prefix: of the layer */
export function mixtureBeside(prefix: string, dense: Block, experts: Block, shape: BesideShape): Block {
  const { hiddenSize, normEps, denseNorm, beside } = shape;
  const named = (name: string): WeightSpec => norm(`${prefix}${name}.weight`, hiddenSize);
  const weights: WeightSpecs = {
    denseNorm: named(denseNorm),
    ...innerSpecs(DENSE, dense.weights),
    densePostNorm: named(beside.densePostNorm),
    routerNorm: { ...norm(`${prefix}${beside.routerNorm.name}`, hiddenSize), scale: beside.routerNorm.scale },
    expertsNorm: named(beside.norm),
    ...innerSpecs(EXPERTS, experts.weights),
    expertsPostNorm: named(beside.postNorm),
  };
  const rowNorm = (weight: Weight, add: boolean): RowNorm => ({ kind: "rms", weight, bias: null, eps: normEps, add });
  return {
    weights,
    scratch: {
      ...dense.scratch,
      ...experts.scratch,
      besideInput: hiddenSize,
      besideOutput: hiddenSize,
      [ROUTER_INPUT]: hiddenSize,
    },
    state: null,
    bind: (loaded, context) => {
      const denseBlock = dense.bind(innerWeights(DENSE, loaded), context);
      const expertsBlock = experts.bind(innerWeights(EXPERTS, loaded), context);
      const densePost = [false, true].map((add) => rowNorm(loaded["densePostNorm"]!, add));
      const expertsPost = rowNorm(loaded["expertsPostNorm"]!, true);
      return {
        run: (at, x, out, add) => {
          const { ops, rows, scratch } = at;
          const [input, given] = [scratch("besideInput"), scratch("besideOutput")];
          ops.rmsNorm(x, loaded["denseNorm"]!, normEps, rows, input);
          denseBlock.run(at, input, given, false);
          ops.norm(given, densePost[add ? 1 : 0]!, rows, out);
          ops.rmsNorm(x, loaded["routerNorm"]!, normEps, rows, scratch(ROUTER_INPUT));
          ops.rmsNorm(x, loaded["expertsNorm"]!, normEps, rows, input);
          expertsBlock.run(at, input, given, false);
          ops.norm(given, expertsPost, rows, out);
        },
      };
    },
  };
}
