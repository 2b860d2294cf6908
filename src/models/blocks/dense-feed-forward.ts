/**
 * @file The feed-forward block: down(act(gate·x) ⊙ up·x) of Llama and most later models (Shazeer, arXiv 2002.05202), or
 * down(act(up·x)) without a gate.
 */
import type { Activation, Buf, RowNorm } from "../../backends/ops.ts";
import type { TensorNames } from "../tensor-names.ts";
import type { Traits } from "../traits.ts";

import {
  type Block,
  type BlockStep,
  bias,
  norm,
  plainNorm,
  type StackPart,
  stackedMatrix,
  transposed,
  type WeightSpec,
} from "./block.ts";
import { innerSpecs, innerWeights } from "./inner-weights.ts";
import type { Adapter } from "./low-rank-adapter.ts";

/** Before the names of the adapter's weights. */
const ADAPTER = "adapter";

export interface FeedForwardShape {
  readonly hiddenSize: number;
  /** Rows of gate and of up. */
  readonly intermediateSize: number;
  readonly traits: Pick<
    Traits,
    "activation" | "isGated" | "fusedGateUp" | "subNorms" | "transposes" | "factors" | "swigluClamp"
  > & {
    readonly biases: Pick<Traits["biases"], "feedForward">;
  };
  readonly normEps: number;
  readonly names: TensorNames;
  /** What is added to gate and up. */
  readonly adapter?: Adapter | null;
  /** Deviations above the mean of a row that its gate has to be; absent: all count. See `RowNorm.cutoff`. */
  readonly cutoff?: number | null;
}

/**
 * prefix: beginning of the tensors' names, e.g. `model.layers.0.` · beforeDown: called with what the down projection is about to
 * read, [rows][intermediateSize]
 */
export function denseFeedForward(
  prefix: string,
  shape: FeedForwardShape,
  beforeDown?: (at: BlockStep, activated: Buf) => void,
): Block {
  const { hiddenSize, intermediateSize, traits, normEps, names, cutoff = null, adapter = null } = shape;
  const { activation: kind, isGated, subNorms, factors } = traits;
  const hasBias = traits.biases.feedForward;
  const width = isGated ? 2 * intermediateSize : intermediateSize;
  const apart: readonly StackPart[] = [
    [names.gate, intermediateSize],
    [names.up, intermediateSize],
  ];
  const inputs = (): readonly StackPart[] => {
    if (!isGated) return [[names.up, intermediateSize]];
    return traits.fusedGateUp ? [[names.gateUp, width]] : apart;
  };
  const named = (suffix: string, parts = inputs()): StackPart[] =>
    parts.map(([name, rows]) => [`${prefix}${name}.${suffix}`, rows]);
  // Files of other formats have gate and up apart where Transformers has them in one tensor.
  const forms =
    isGated && traits.fusedGateUp && !hasBias
      ? { forms: [stackedMatrix(hiddenSize, named("weight", apart)).tensors] }
      : {};
  const stored = traits.transposes ? transposed : (spec: WeightSpec) => spec;
  const learned = ["alpha_p", "alpha_n"].map((name): StackPart => [`${prefix}${names.activation}.${name}`, 1]);
  return {
    weights: {
      gateUp: { ...stored(stackedMatrix(hiddenSize, named("weight"))), ...forms },
      ...(hasBias && { gateUpBias: bias(named("bias")) }),
      ...(cutoff !== null && { ones: plainNorm(intermediateSize) }),
      ...(adapter && innerSpecs(ADAPTER, adapter.weights)),
      ...(kind === "xielu" && { alphas: bias(learned) }),
      ...(subNorms && { subNorm: norm(`${prefix}${names.feedForwardSubNorm}.weight`, intermediateSize) }),
      down: stored(stackedMatrix(intermediateSize, [[`${prefix}${names.down}.weight`, hiddenSize]])),
      ...(hasBias && {
        downBias: { ...bias([[`${prefix}${names.down}.bias`, hiddenSize]]), scale: factors.down },
      }),
    },
    scratch: { gateUp: width, activated: intermediateSize, ...adapter?.scratch },
    state: null,
    bind: ({ gateUp, gateUpBias, ones, alphas, subNorm, down, downBias, ...others }) => {
      const adapt = adapter?.bind(innerWeights(ADAPTER, others));
      const cut: RowNorm | null =
        cutoff === null
          ? null
          : {
              ...{ kind: "layer", weight: ones!, bias: null, eps: normEps, add: false, cutoff },
              ...{ first: 0, stride: width },
            };
      const clamp = traits.swigluClamp;
      const activation: Activation = { kind, isGated, alphas: alphas ?? null, ...(clamp && { clamp }) };
      const isSwiglu = kind === "silu" && isGated && !clamp;
      // What is behind the gate is multiplied by it and by the last product, so the output's factor can be its own.
      const runs =
        isGated && (factors.gate !== 1 || factors.down !== 1)
          ? [
              { end: intermediateSize, factor: factors.gate },
              { end: width, factor: factors.down },
            ]
          : null;
      return {
        run: (at, x, out, add) => {
          const { ops, rows, scratch } = at;
          const [both, activated] = [scratch("gateUp"), scratch("activated")];
          const isFused =
            isSwiglu && !gateUpBias && !runs && !cut && !adapt && ops.gatedLinear?.(x, gateUp!, rows, activated);
          if (!isFused) {
            ops.linear(x, gateUp!, gateUpBias ?? null, rows, both, false);
            adapt?.(at, x, both);
            if (cut) ops.norm(both, cut, rows, both);
            if (runs) ops.scaleColumns(both, runs, rows, width);
            if (isSwiglu) ops.swiglu(both, rows, intermediateSize, activated);
            else ops.activate(both, activation, rows, intermediateSize, activated);
          }
          if (subNorm) ops.rmsNorm(activated, subNorm, normEps, rows, activated);
          beforeDown?.(at, activated);
          ops.linear(activated, down!, downBias ?? null, rows, out, add);
        },
      };
    },
  };
}
