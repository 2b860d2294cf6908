/**
 * @file Multi-head attention with grouped KV heads over the coded cache: one product for q|k|v, norms of heads, RoPE,
 * append, attend, output projection.
 */
import type { AttentionLayer, Gates, RowNorm } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import { type RopeConfig, rotaryDimOf } from "../rope.ts";
import type { TensorNames } from "../tensor-names.ts";
import type { Traits } from "../traits.ts";
import {
  type Block,
  bias,
  norm,
  plainNorm,
  type StackPart,
  stackedMatrix,
  transposed,
  type WeightSpec,
  type WeightSpecs,
  withOffset,
} from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { headLayerNorms } from "./head-layer-norms.ts";
import { innerSpecs, innerWeights } from "./inner-weights.ts";
import type { Adapter } from "./low-rank-adapter.ts";
import { halfOfHeads, headOrder, splitHeads } from "./row-order.ts";
import { storedHeads } from "./stored-heads.ts";

export interface AttentionShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Values of a row of the output; absent: hiddenSize. */
  readonly outputSize?: number;
  /** What is added to q, k and v. */
  readonly adapter?: Adapter | null;
  /** Coordinates of a value; absent: headDim. */
  readonly valueDim?: number;
  /** Factor of what attention returns; absent: 1. */
  readonly valueScale?: number;
  /** Positions a token attends to, its own included; 0 for all. */
  readonly slidingWindow: number;
  /** Whether values are projected by the matrix of keys. */
  readonly valuesAreKeys?: boolean;
  /** What of `CHOSEN_TOKENS` is attended to; absent: all tokens. */
  readonly chosen?: { readonly count: number; readonly lists: number };
  /** The layer whose keys and values are read; absent or null for keys and values of its own. */
  readonly sharedWith?: number | null;
  readonly traits: Pick<
    Traits,
    | "biases"
    | "qkNorm"
    | "hasNormWeights"
    | "hasHeadNormWeights"
    | "attendsInChunks"
    | "sinkLogits"
    | "valueNorm"
    | "transposes"
    | "subNorms"
    | "fusedQkv"
    | "outputGate"
    | "interleavesRope"
    | "attentionScale"
    | "attentionSoftcap"
    | "normOffset"
    | "factors"
  >;
  readonly normEps: number;
  readonly rope: RopeConfig;
  readonly names: TensorNames;
}

/** Before the names of the adapter's weights. */
const ADAPTER = "adapter";

/** In GGUF files the name ends like those of others. */
const sinks = (name: string, numHeads: number): WeightSpec => ({
  ...bias([[name, numHeads]]),
  forms: [bias([[`${name}.weight`, numHeads]]).tensors],
});

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.` */
export function attention(prefix: string, shape: AttentionShape): Block {
  const { hiddenSize, numHeads, numKvHeads, headDim, slidingWindow, traits, normEps, rope, names } = shape;
  const { outputSize = hiddenSize, adapter = null, chosen } = shape;
  const { valueDim = headDim, valueScale = 1, valuesAreKeys = false, sharedWith = null } = shape;
  const isShared = sharedWith !== null;
  const { biases, hasNormWeights, subNorms, outputGate, factors } = traits;
  const qkNorm = traits.qkNorm === "turnedHead" && rope.type === "none" ? "none" : traits.qkNorm;
  const normsHeads = qkNorm === "head" || qkNorm === "turnedHead";
  const queryWidth = numHeads * headDim;
  const keyWidth = numKvHeads * headDim;
  const valueWidth = numKvHeads * valueDim;
  const width = isShared ? queryWidth : queryWidth + keyWidth + valueWidth;
  const outputWidth = numHeads * valueDim;
  const heads = { headDim, rotaryDim: rotaryDimOf(rope, headDim), isInterleaved: traits.interleavesRope };
  const widened = storedHeads({ numHeads, numKvHeads: isShared ? 0 : numKvHeads, headDim, valueDim });
  const projections = (): readonly StackPart[] => {
    switch (traits.fusedQkv) {
      case "no":
        if (isShared) return [[names.q, queryWidth, headOrder(heads, numHeads)]];
        return [
          outputGate === "fused"
            ? [names.q, 2 * queryWidth, halfOfHeads(heads, numHeads, "q")]
            : [names.q, queryWidth, headOrder(heads, numHeads)],
          [names.k, keyWidth, headOrder(heads, numKvHeads)],
          [valuesAreKeys ? names.k : names.v, valueWidth],
        ];
      case "rows":
        return [[names.qkv, width, headOrder(heads, numHeads + numKvHeads)]];
      case "heads":
        return [[names.qkv, width, splitHeads(heads, numHeads, numKvHeads)]];
    }
  };
  const headNorms =
    qkNorm === "layerHead" || qkNorm === "layerHeads"
      ? headLayerNorms({
          ...{ isOwn: qkNorm === "layerHeads", heads, eps: normEps, stride: width },
          q: [`${prefix}${names.qNorm}`, numHeads],
          k: [`${prefix}${names.kNorm}`, numKvHeads],
        })
      : null;
  const hasNorms = qkNorm !== "none" && !headNorms;
  const named = (suffix: string): StackPart[] =>
    projections().map(([name, rows, order]) => [`${prefix}${name}.${suffix}`, rows, order]);
  const normed = (name: string, ofRow: number, numRowHeads: number) => {
    const [length, count] = qkNorm === "row" ? [ofRow, numRowHeads] : [headDim, 1];
    const spec =
      hasNormWeights && traits.hasHeadNormWeights
        ? withOffset(norm(`${prefix}${name}.weight`, length, headOrder(heads, count)), traits.normOffset)
        : plainNorm(length);
    return normsHeads && widened ? widened.norm(spec, heads) : spec;
  };
  const valueNorm = plainNorm(valueDim);
  const stored = traits.transposes ? transposed : (spec: WeightSpec) => spec;
  const gateWidth = outputGate === "heads" ? numHeads : outputWidth;
  const gate: StackPart =
    outputGate === "fused"
      ? [names.q, 2 * queryWidth, halfOfHeads(heads, numHeads, "gate")]
      : [names.outputGate, gateWidth];
  const gateNamed = (suffix: string): StackPart[] => [[`${prefix}${gate[0]}.${suffix}`, gate[1], gate[2]]];
  const hasGateBias = outputGate === "fused" && biases.qkv;
  const weights: WeightSpecs = {
    qkv: stored(stackedMatrix(hiddenSize, named("weight"))),
    ...(biases.qkv && { qkvBias: bias(named("bias")) }),
    ...headNorms?.weights,
    ...(hasNorms && { qNorm: normed(names.qNorm, queryWidth, numHeads) }),
    ...(hasNorms && !isShared && { kNorm: normed(names.kNorm, keyWidth, numKvHeads) }),
    ...(traits.valueNorm && !isShared && { vNorm: widened?.norm(valueNorm, null) ?? valueNorm }),
    ...(traits.sinkLogits && { sinkLogits: sinks(`${prefix}${names.sinkLogits}`, numHeads) }),
    ...(subNorms && { subNorm: norm(`${prefix}${names.attentionSubNorm}.weight`, outputWidth) }),
    ...(outputGate !== "none" && { gate: stackedMatrix(hiddenSize, gateNamed("weight")) }),
    ...(hasGateBias && { gateBias: bias(gateNamed("bias")) }),
    ...(adapter && innerSpecs(ADAPTER, adapter.weights)),
    output: stored(stackedMatrix(outputWidth, [[`${prefix}${names.output}.weight`, outputSize]])),
    ...(biases.output && {
      outputBias: { ...bias([[`${prefix}${names.output}.bias`, outputSize]]), scale: factors.attentionOutput },
    }),
  };
  const kept = widened ?? { headDim, valueDim };
  const cached = {
    ...{ numKvHeads, headDim: kept.headDim },
    ...(kept.valueDim !== kept.headDim && { valueDim: kept.valueDim }),
  };
  const isChunked = traits.attendsInChunks && slidingWindow > 0;
  return {
    weights,
    scratch: {
      ...{ qkv: width, query: numHeads * kept.headDim, attended: numHeads * kept.valueDim },
      ...(widened && { storedQkv: widened.width, headOutput: outputWidth }),
      ...(outputGate !== "none" && { outputGates: gateWidth }),
      ...adapter?.scratch,
    },
    state: isShared
      ? { kind: "shared", layer: sharedWith }
      : { kind: "kv", ...cached, slidingWindow, ...(isChunked && { isChunked }) },
    bind: (
      { qkv, qkvBias, vNorm, sinkLogits, subNorm, gate, gateBias, output: outputWeight, outputBias, ...norms },
      { stateIndex, ropeIndex, format, calibration, attentionOf },
    ) => {
      const { qNorm, kNorm } = norms;
      const adapt = adapter?.bind(innerWeights(ADAPTER, norms));
      const source = isShared ? attentionOf(sharedWith) : null;
      const kv = source?.kv.beside() ?? new PreparedLayer(format, cached, calibration);
      const layer: AttentionLayer = {
        index: source?.index ?? stateIndex,
        isShared,
        numHeads,
        numKvHeads,
        headDim: kept.headDim,
        valueDim: kept.valueDim,
        rotaryKeyDim: 0,
        cache: source?.cache ?? layerCache(format, { ...cached, slidingWindow }),
        kv,
        slidingWindow,
        isChunked,
        scale: (traits.attentionScale ?? 1 / Math.sqrt(headDim)) * factors.key,
        valueScale: valueScale * factors.attentionOutput,
        softcap: traits.attentionSoftcap,
        sinkLogits: sinkLogits ?? null,
        rope: ropeIndex(rope, headDim, kept.headDim),
        qNorm: (normsHeads && qNorm) || null,
        kNorm: (normsHeads && kNorm) || null,
        vNorm: vNorm ?? null,
        normsTurned: qkNorm === "turnedHead",
        normEps: normEps * (widened?.epsScale ?? 1),
      };
      const ofRow = (weight: typeof qNorm, first: number): RowNorm[] =>
        qkNorm === "row"
          ? [{ kind: "rms", weight: weight!, bias: null, eps: normEps, add: false, first, stride: width }]
          : [];
      const gates: Gates = {
        ...{ first: 0, stride: gateWidth, activation: "sigmoid" },
        repeat: outputWidth / gateWidth,
      };
      const rowNorms = headNorms?.bind(norms) ?? [...ofRow(qNorm, 0), ...(isShared ? [] : ofRow(kNorm, queryWidth))];
      return {
        attention: layer,
        dispose: () => kv.dispose(),
        run: (at, x, out, add) => {
          const { ops, step, rows, scratch } = at;
          const [projected, query, attended] = [scratch("qkv"), scratch("query"), scratch("attended")];
          const [ownQkv, output] = widened ? [scratch("storedQkv"), scratch("headOutput")] : [projected, attended];
          ops.linear(x, qkv!, qkvBias ?? null, rows, projected, false);
          adapt?.(at, x, projected);
          for (const rowNorm of rowNorms) ops.norm(projected, rowNorm, rows, projected);
          widened?.widen(at, projected, ownQkv);
          ops.appendKv(step, layer, ownQkv, query);
          ops.attend(step, layer, query, attended, chosen && { positions: scratch(CHOSEN_TOKENS), ...chosen });
          widened?.narrow(at, attended, output);
          if (gate) {
            const factors = scratch("outputGates");
            ops.linear(x, gate, gateBias ?? null, rows, factors, false);
            ops.gate(output, factors, gates, rows, outputWidth);
          }
          if (subNorm) ops.rmsNorm(output, subNorm, normEps, rows, output);
          ops.linear(output, outputWeight!, outputBias ?? null, rows, out, add);
        },
      };
    },
  };
}
