/**
 * @file Mixture of attention heads (Zhang et al., arXiv 2210.05144, as JetMoE has it): a router chooses a few experts for each row, each of which has
 * projections of its own for queries and for what their heads attended to. Keys and values are those of all experts.
 */
import type { ExpertHeads, Router } from "../../backends/experts.ts";
import type { AttentionLayer, StreamMix } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import { type Block, stackedMatrix, type WeightSpec, type WeightSpecs } from "./block.ts";
import { type ExpertTraits, ofEachExpert } from "./expert-feed-forward.ts";

export interface AttentionExpertsShape {
  readonly hiddenSize: number;
  readonly numExperts: number;
  /** Experts of a row, each with one head for each KV head. */
  readonly topK: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly router: ExpertTraits["router"];
  readonly rope: RopeConfig;
  readonly normEps: number;
}

/** What the tensors are called, behind the prefix; `.weight` follows but for the bias. */
const NAMES = {
  router: "experts.router.layer",
  queries: "experts.input_linear",
  outputs: "experts.output_linear",
  bias: "experts.bias",
  keysValues: "kv_proj",
};

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.self_attention.` */
export function attentionExperts(prefix: string, shape: AttentionExpertsShape): Block {
  const { hiddenSize, numExperts, topK, numKvHeads, headDim, rope, normEps } = shape;
  const kvWidth = numKvHeads * headDim;
  const queryWidth = topK * kvWidth;
  // A row is q of all experts, k and v.
  const parts = topK + 2;
  const width = parts * kvWidth;
  const ofAll = (name: string, rows: number, cols: number): WeightSpec => ({
    role: "experts",
    tensors: [{ name: `${prefix}${name}.weight`, shape: [numExperts, rows, cols] }],
    unit: rows,
  });
  const weights: WeightSpecs = {
    router: { role: "router", tensors: [{ name: `${prefix}${NAMES.router}.weight`, shape: [numExperts, hiddenSize] }] },
    queries: ofAll(NAMES.queries, kvWidth, hiddenSize),
    keysValues: stackedMatrix(hiddenSize, [[`${prefix}${NAMES.keysValues}.weight`, 2 * kvWidth]]),
    outputs: ofAll(NAMES.outputs, hiddenSize, kvWidth),
    outputBias: ofEachExpert(`${prefix}${NAMES.bias}`, numExperts, hiddenSize),
  };
  const cached = { numKvHeads, headDim, slidingWindow: 0 };
  const placed = (part: number): StreamMix => ({
    from: { first: part, count: 1, of: 2 },
    to: { first: topK + part, count: 1, of: parts },
    ...{ first: 0, stride: 0, factor: 1, add: false },
  });
  return {
    weights,
    scratch: {
      ...{ routerLogits: numExperts, routes: 2 * topK, keysValues: 2 * kvWidth },
      ...{ qkv: width, query: queryWidth, attended: queryWidth },
      ...{ expertInput: topK * Math.max(hiddenSize, kvWidth), expertOutput: topK * Math.max(hiddenSize, kvWidth) },
    },
    state: { kind: "kv", ...cached },
    attentionOutput: "outputs",
    bind: ({ router, queries, keysValues, outputs, outputBias }, { stateIndex, ropeIndex, format, calibration }) => {
      const kv = new PreparedLayer(format, cached, calibration);
      const layer: AttentionLayer = {
        index: stateIndex,
        numHeads: topK * numKvHeads,
        numKvHeads,
        headDim,
        valueDim: headDim,
        rotaryKeyDim: 0,
        cache: layerCache(format, cached),
        kv,
        slidingWindow: 0,
        scale: 1 / Math.sqrt(headDim),
        valueScale: 1,
        softcap: 0,
        sinkLogits: null,
        rope: ropeIndex(rope, headDim),
        qNorm: null,
        kNorm: null,
        normEps,
      };
      const choose: Router = {
        ...shape.router,
        ...{ numExperts, topK, stride: numExperts, bias: null, expertScales: null },
      };
      const spread: ExpertHeads = {
        ...{ numExperts, topK, headDim, weight: queries!, bias: null, gathers: false },
        columns: { first: 0, stride: width },
      };
      const gathered: ExpertHeads = {
        ...{ numExperts, topK, headDim, weight: outputs!, bias: outputBias!, gathers: true },
        columns: { first: 0, stride: queryWidth },
      };
      const [keys, values] = [placed(0), placed(1)];
      return {
        attention: layer,
        dispose: () => kv.dispose(),
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [logits, routes, both] = [scratch("routerLogits"), scratch("routes"), scratch("keysValues")];
          const [projected, query, attended] = [scratch("qkv"), scratch("query"), scratch("attended")];
          const buffers = { input: scratch("expertInput"), output: scratch("expertOutput") };
          ops.linear(x, router!, null, rows, logits, false);
          ops.route(logits, choose, rows, routes);
          ops.multiplyExperts(x, routes, spread, rows, buffers, projected, false);
          ops.linear(x, keysValues!, null, rows, both, false);
          ops.mixStreams(both, keys, null, rows, kvWidth, projected);
          ops.mixStreams(both, values, null, rows, kvWidth, projected);
          ops.appendKv(step, layer, projected, query);
          ops.attend(step, layer, query, attended);
          ops.multiplyExperts(attended, routes, gathered, rows, buffers, out, add);
        },
      };
    },
  };
}
