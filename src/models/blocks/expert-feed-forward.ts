/**
 * @file The feed-forward of a mixture of experts: a router chooses a few of many feed-forwards for each row, whose results are
 * added up with its weights; beside them there may be a feed-forward that all rows go through (Shazeer et al., arXiv 1701.06538;
 * Dai et al., arXiv 2401.06066).
 */

import type { Experts, Router } from "../../backends/experts.ts";
import type { Activation, Buf, Gates, Weight } from "../../backends/ops.ts";
import type { TensorNames } from "../tensor-names.ts";
import { LLAMA_TRAITS } from "../traits.ts";
import { type Block, type BlockStep, bias, type TensorSpec, type WeightSpec, type Weights } from "./block.ts";
import { denseFeedForward } from "./dense-feed-forward.ts";
import { type ExpertNames, expertForms, expertVectors, type StackLayout } from "./expert-tensors.ts";

/** A feed-forward that all rows go through. */
export interface SharedExpert {
  readonly width: number;
  readonly names: Partial<TensorNames>;
  /** Whether gate and up are one tensor. */
  readonly isFused?: boolean;
  /** Factor of what it adds; absent: 1. */
  readonly scale?: number;
  /** A row of weights whose product with a row of x, through a sigmoid, is the factor of what is added: the tensor's name. */
  readonly rowGate?: string;
}

/** What a layer's mixture is made of. */
export interface ExpertTraits {
  readonly numExperts: number;
  /** Number of experts of a row. */
  readonly topK: number;
  /** Rows of an expert's gate and up. */
  readonly width: number;
  readonly router: Pick<Router, "score" | "scoresChosen" | "groups" | "normalizes" | "epsilon" | "scale" | "jitter">;
  /** Whether the router's logits, and the products of experts, have biases. */
  readonly biases: { readonly router: boolean; readonly experts: boolean };
  readonly activation: Omit<Activation, "alphas">;
  readonly scalesInput: boolean;
  readonly shared: SharedExpert | null;
  /** As Transformers saves them first, then others that checkpoints have. */
  readonly names: readonly ExpertNames[];
  readonly stack: StackLayout;
}

export interface ExpertShape {
  readonly hiddenSize: number;
  readonly experts: ExpertTraits;
  readonly normEps: number;
  readonly names: TensorNames;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.` */
export function expertFeedForward(prefix: string, { hiddenSize, experts, normEps, names }: ExpertShape): Block {
  const { numExperts, topK, width, shared, biases, activation, scalesInput } = experts;
  const hidden = activation.isGated ? 2 * width : width;
  const [own] = experts.names;
  const at = (name: string): string => `${prefix}${name}`;
  const gate: TensorSpec[] = shared?.rowGate ? [{ name: at(shared.rowGate), shape: [1, hiddenSize] }] : [];
  const router = (of: ExpertNames): TensorSpec[] => [
    { name: at(`${of.router}.weight`), shape: [numExperts, hiddenSize] },
    // Its product is one more logit.
    ...gate,
  ];
  const stride = numExperts + gate.length;
  const ofRow: Gates = { first: numExperts, stride, repeat: shared?.width ?? 1, activation: "sigmoid" };
  const inner =
    shared &&
    denseFeedForward(
      prefix,
      {
        hiddenSize,
        intermediateSize: shared.width,
        traits: {
          ...LLAMA_TRAITS,
          activation: activation.kind,
          isGated: activation.isGated,
          fusedGateUp: shared.isFused ?? false,
          factors: { ...LLAMA_TRAITS.factors, down: shared.scale ?? 1 },
        },
        normEps,
        names: { ...names, ...shared.names },
      },
      shared.rowGate
        ? ({ ops, rows, scratch }, activated) => ops.gate(activated, scratch("routerLogits"), ofRow, rows, shared.width)
        : undefined,
    );
  const shapes = { numExperts, width, hiddenSize, isGated: activation.isGated, stack: experts.stack };
  const forms = experts.names.map((of) => expertForms(prefix, of, shapes));
  const vectors = biases.experts ? expertVectors(prefix, own!, shapes) : null;
  // Ernie's has a dimension more.
  const [choice, ...choiceForms] = [own!.choiceBias ?? []]
    .flat()
    .flatMap((name): TensorSpec[][] => [
      [{ name: at(name), shape: [numExperts] }],
      [{ name: at(name), shape: [1, numExperts] }],
    ]);
  const choiceBias: WeightSpec | null = choice ? { role: "bias", tensors: choice } : null;
  const weights: Record<string, WeightSpec> = {
    router: { role: "router", tensors: router(own!), forms: experts.names.slice(1).map(router) },
    ...(biases.router && { routerBias: bias([[at(`${own!.router}.bias`), numExperts]]) }),
    ...(choiceBias && { choiceBias: { ...choiceBias, forms: choiceForms } }),
    gateUp: expertsOf(
      hidden,
      forms.flatMap(({ gateUp }) => gateUp),
    ),
    ...(vectors && { gateUpBias: vectors.gateUp }),
    down: expertsOf(
      hiddenSize,
      forms.flatMap(({ down }) => down),
    ),
    ...(vectors && { downBias: vectors.down }),
    ...(inner && Object.fromEntries(Object.entries(inner.weights).map(([name, spec]) => [`${SHARED}${name}`, spec]))),
  };
  return {
    weights,
    scratch: {
      routerLogits: stride,
      routes: 2 * topK,
      expertHidden: topK * hidden,
      expertActivated: topK * width,
      expertOutput: topK * hiddenSize,
      ...inner?.scratch,
    },
    state: null,
    bind: (loaded, context) => {
      const choose: Router = { ...experts.router, numExperts, topK, stride, bias: loaded["choiceBias"] ?? null };
      const mixture: Experts = {
        numExperts,
        topK,
        width,
        gateUp: loaded["gateUp"]!,
        gateUpBias: loaded["gateUpBias"] ?? null,
        activation: { ...activation, alphas: null },
        down: loaded["down"]!,
        downBias: loaded["downBias"] ?? null,
        scalesInput,
      };
      const beside = inner?.bind(sharedOf(loaded), context);
      const [logitsOf, logitBias] = [loaded["router"]!, loaded["routerBias"] ?? null];
      return {
        run: (step: BlockStep, x: Buf, out: Buf, add: boolean) => {
          const { ops, rows, scratch } = step;
          const [logits, routes] = [scratch("routerLogits"), scratch("routes")];
          ops.linear(x, logitsOf, logitBias, rows, logits, false);
          ops.route(logits, choose, rows, routes);
          const buffers = {
            hidden: scratch("expertHidden"),
            activated: scratch("expertActivated"),
            output: scratch("expertOutput"),
          };
          ops.experts(x, routes, mixture, rows, buffers, out, add);
          beside?.run(step, x, out, true);
        },
      };
    },
  };
}

/** Before the names of the shared expert's weights. */
const SHARED = "shared.";

const sharedOf = (weights: Weights): Record<string, Weight> =>
  Object.fromEntries(
    Object.entries(weights).flatMap(([name, weight]) =>
      name.startsWith(SHARED) ? [[name.slice(SHARED.length), weight] as const] : [],
    ),
  );

/** unit: rows of an expert */
const expertsOf = (unit: number, [tensors, ...forms]: readonly (readonly TensorSpec[])[]): WeightSpec => ({
  role: "experts",
  tensors: tensors!,
  forms,
  unit,
});
