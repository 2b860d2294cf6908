/**
 * @file The feed-forward of a mixture of experts: a router chooses a few of many feed-forwards for each row, whose results are
 * added up with its weights; beside them there may be a feed-forward that all rows go through (Shazeer et al., arXiv 1701.06538;
 * Dai et al., arXiv 2401.06066).
 */

import type { Experts, Router } from "../../backends/experts.ts";
import type { Activation, Buf, Gates } from "../../backends/ops.ts";
import type { TensorNames } from "../tensor-names.ts";
import { LLAMA_TRAITS } from "../traits.ts";
import { type Block, type BlockStep, bias, stackedMatrix, type TensorSpec, type WeightSpec } from "./block.ts";
import { denseFeedForward } from "./dense-feed-forward.ts";
import { type ExpertNames, expertForms, expertVectors, type StackLayout } from "./expert-tensors.ts";
import { innerSpecs, innerWeights } from "./inner-weights.ts";

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
  /** Experts of the router behind the others that give what they read. */
  readonly numIdentities?: number;
  /** A vector that is added to what a row's experts give together, where their weights add up to 1: the tensor's whole name. */
  readonly outputBias?: string;
  /** A table of the experts that each token of the vocabulary has, whatever their scores: the tensor's whole name. Absent: the best are chosen. */
  readonly byToken?: { readonly name: string; readonly vocabSize: number };
  /** Whether the router's logits, and the products of experts, have biases. */
  readonly biases: { readonly router: boolean; readonly experts: boolean };
  readonly activation: Omit<Activation, "alphas">;
  readonly scalesInput: boolean;
  readonly shared: SharedExpert | null;
  /** Experts read a projection of the row, and what they give is projected back: its values, and the tensors' names. Absent: they read the row. */
  readonly latent?: { readonly width: number; readonly down: string; readonly up: string };
  /** As Transformers saves them first, then others that checkpoints have. */
  readonly names: readonly ExpertNames[];
  readonly stack: StackLayout;
  /** Absent: the layer has the mixture as its feed-forward. */
  readonly beside?: BesideDense;
}

/** A dense feed-forward and a mixture beside it, each with norms of its own (Gemma 4): see mixture-beside.ts. */
export interface BesideDense {
  /** Norm of what the router reads, and a factor of it. */
  readonly routerNorm: { readonly name: string; readonly scale: number };
  /** Norms of what experts read, of what they give, and of what the dense feed-forward gives. */
  readonly norm: string;
  readonly postNorm: string;
  readonly densePostNorm: string;
}

export interface ExpertShape {
  readonly hiddenSize: number;
  readonly experts: ExpertTraits;
  readonly normEps: number;
  readonly names: TensorNames;
  /** The scratch buffer that the router reads instead of what experts read. */
  readonly routerInput?: string;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.` */
export function expertFeedForward(prefix: string, shape: ExpertShape): Block {
  const { hiddenSize, experts, normEps, names, routerInput } = shape;
  const { numExperts, topK, width, shared, latent, biases, activation, scalesInput, outputBias, byToken } = experts;
  /** Values that experts read and give. */
  const inputSize = latent?.width ?? hiddenSize;
  const hidden = activation.isGated ? 2 * width : width;
  const [own] = experts.names;
  const at = (name: string): string => `${prefix}${name}`;
  const gate: TensorSpec[] = shared?.rowGate ? [{ name: at(shared.rowGate), shape: [1, hiddenSize] }] : [];
  const numChoices = numExperts + (experts.numIdentities ?? 0);
  const router = (of: ExpertNames): TensorSpec[] => [
    { name: at(`${of.router}.weight`), shape: [numChoices, hiddenSize] },
    // Its product is one more logit.
    ...gate,
  ];
  const stride = numChoices + gate.length;
  const ofRow: Gates = { first: numChoices, stride, repeat: shared?.width ?? 1, activation: "sigmoid" };
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
          swigluClamp: activation.clamp ?? null,
          factors: { ...LLAMA_TRAITS.factors, down: shared.scale ?? 1 },
        },
        normEps,
        names: { ...names, ...shared.names },
      },
      shared.rowGate
        ? ({ ops, rows, scratch }, activated) => ops.gate(activated, scratch("routerLogits"), ofRow, rows, shared.width)
        : undefined,
    );
  const shapes = { numExperts, width, hiddenSize: inputSize, isGated: activation.isGated, stack: experts.stack };
  const forms = experts.names.map((of) => expertForms(prefix, of, shapes));
  const vectors = biases.experts ? expertVectors(prefix, own!, shapes) : null;
  // Ernie's has a dimension more.
  const [choice, ...choiceForms] = [own!.choiceBias ?? []]
    .flat()
    .flatMap((name): TensorSpec[][] => [
      [{ name: at(name), shape: [numChoices] }],
      [{ name: at(name), shape: [1, numChoices] }],
    ]);
  const choiceBias: WeightSpec | null = choice ? { role: "bias", tensors: choice } : null;
  const { expertScales } = own!;
  const weights: Record<string, WeightSpec> = {
    router: { role: "router", tensors: router(own!), forms: experts.names.slice(1).map(router) },
    ...(biases.router && { routerBias: bias([[at(`${own!.router}.bias`), numChoices]]) }),
    ...(choiceBias && { choiceBias: { ...choiceBias, forms: choiceForms } }),
    ...(expertScales && { expertScales: bias([[at(expertScales), numChoices]]) }),
    ...(byToken && {
      byToken: { role: "bias", tensors: [{ name: at(byToken.name), shape: [byToken.vocabSize, topK] }] },
    }),
    gateUp: expertsOf(
      hidden,
      forms.flatMap(({ gateUp }) => gateUp),
    ),
    ...(vectors && { gateUpBias: vectors.gateUp }),
    down: expertsOf(
      inputSize,
      forms.flatMap(({ down }) => down),
    ),
    ...(vectors && { downBias: vectors.down }),
    ...(outputBias && { downBias: ofEachExpert(at(outputBias), numExperts, inputSize) }),
    ...(latent && {
      latentDown: stackedMatrix(hiddenSize, [[at(`${latent.down}.weight`), inputSize]]),
      latentUp: stackedMatrix(inputSize, [[at(`${latent.up}.weight`), hiddenSize]]),
    }),
    ...(inner && innerSpecs(SHARED, inner.weights)),
  };
  return {
    weights,
    scratch: {
      routerLogits: stride,
      routes: 2 * topK,
      expertHidden: topK * hidden,
      expertActivated: topK * width,
      expertOutput: topK * inputSize,
      ...(latent && { latentInput: inputSize, latentOutput: inputSize }),
      ...inner?.scratch,
    },
    state: null,
    ...(byToken && { needs: ["readsTokens"] as const }),
    bind: (loaded, context) => {
      const choose: Router = {
        ...experts.router,
        numExperts: numChoices,
        topK,
        stride,
        bias: loaded["choiceBias"] ?? null,
        expertScales: loaded["expertScales"] ?? null,
      };
      const mixture: Experts = {
        numExperts,
        hasIdentities: numChoices > numExperts,
        topK,
        width,
        gateUp: loaded["gateUp"]!,
        gateUpBias: loaded["gateUpBias"] ?? null,
        activation: { ...activation, alphas: null },
        down: loaded["down"]!,
        downBias: loaded["downBias"] ?? null,
        scalesInput,
      };
      const beside = inner?.bind(innerWeights(SHARED, loaded), context);
      const [logitsOf, logitBias] = [loaded["router"]!, loaded["routerBias"] ?? null];
      return {
        run: (step: BlockStep, x: Buf, out: Buf, add: boolean) => {
          const { ops, rows, scratch } = step;
          const table = loaded["byToken"];
          const [logits, routes] = [scratch("routerLogits"), scratch("routes")];
          ops.linear(routerInput ? scratch(routerInput) : x, logitsOf, logitBias, rows, logits, false);
          if (table) ops.routeTokens(step.step, logits, choose, table, routes);
          else ops.route(logits, choose, rows, routes);
          const buffers = {
            hidden: scratch("expertHidden"),
            activated: scratch("expertActivated"),
            output: scratch("expertOutput"),
          };
          if (latent) {
            const [read, given] = [scratch("latentInput"), scratch("latentOutput")];
            ops.linear(x, loaded["latentDown"]!, null, rows, read, false);
            ops.experts(read, routes, mixture, rows, buffers, given, false);
            ops.linear(given, loaded["latentUp"]!, null, rows, out, add);
          } else ops.experts(x, routes, mixture, rows, buffers, out, add);
          beside?.run(step, x, out, true);
        },
      };
    },
  };
}

/** Before the names of the shared expert's weights. */
const SHARED = "shared";

/** The bias of each of the experts, the same for all. */
export const ofEachExpert = (name: string, numExperts: number, length: number): WeightSpec =>
  bias(Array.from({ length: numExperts }, () => [name, length]));

/** unit: rows of an expert */
const expertsOf = (unit: number, [tensors, ...forms]: readonly (readonly TensorSpec[])[]): WeightSpec => ({
  role: "experts",
  tensors: tensors!,
  forms,
  unit,
});
