/**
 * @file Multi-head attention with grouped KV heads over the coded cache: one product for q|k|v, norms of heads, RoPE,
 * append, attend, output projection.
 */
import type { AttentionLayer } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import { type Block, bias, norm, stackedMatrix, type WeightSpecs } from "./block.ts";

export interface AttentionShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Positions a token attends to, its own included; 0 for all. */
  readonly slidingWindow: number;
  /** Whether the q, k and v projections have biases. */
  readonly hasBias: boolean;
  /** Whether each head of Q and K has an RMS norm with learned weights before RoPE. */
  readonly qkNorm: boolean;
  readonly normEps: number;
  readonly rope: RopeConfig;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.self_attn.` */
export function attention(prefix: string, shape: AttentionShape): Block {
  const { hiddenSize, numHeads, numKvHeads, headDim, slidingWindow, hasBias, qkNorm, normEps, rope } = shape;
  const queryWidth = numHeads * headDim;
  const kvWidth = numKvHeads * headDim;
  const projections = [
    ["q_proj", queryWidth],
    ["k_proj", kvWidth],
    ["v_proj", kvWidth],
  ] as const;
  const named = (suffix: string) =>
    projections.map(([name, rows]): readonly [string, number] => [`${prefix}${name}.${suffix}`, rows]);
  const weights: WeightSpecs = {
    qkv: stackedMatrix(hiddenSize, named("weight")),
    ...(hasBias && { qkvBias: bias(named("bias")) }),
    ...(qkNorm && {
      qNorm: norm(`${prefix}q_norm.weight`, headDim),
      kNorm: norm(`${prefix}k_norm.weight`, headDim),
    }),
    output: stackedMatrix(queryWidth, [[`${prefix}o_proj.weight`, hiddenSize]]),
  };
  return {
    weights,
    scratch: { qkv: queryWidth + 2 * kvWidth, query: queryWidth, attended: queryWidth },
    state: { kind: "kv", numKvHeads, headDim, slidingWindow },
    bind: ({ qkv, qkvBias, qNorm, kNorm, output }, { stateIndex, ropeIndex, format, calibration }) => {
      const kv = new PreparedLayer(format, { numKvHeads, headDim }, calibration);
      const layer: AttentionLayer = {
        index: stateIndex,
        numHeads,
        numKvHeads,
        headDim,
        cache: layerCache(format, { numKvHeads, headDim, slidingWindow }),
        kv,
        slidingWindow,
        scale: 1 / Math.sqrt(headDim),
        softcap: 0,
        sinkLogits: null,
        rope: ropeIndex(rope, headDim),
        qNorm: qNorm ?? null,
        kNorm: kNorm ?? null,
        normEps,
      };
      return {
        attention: layer,
        dispose: () => kv.dispose(),
        run: ({ ops, step, rows, scratch }, x, out) => {
          const [projected, query, attended] = [scratch("qkv"), scratch("query"), scratch("attended")];
          ops.linear(x, qkv!, qkvBias ?? null, rows, projected, false);
          ops.appendKv(step, layer, projected, query);
          ops.attend(step, layer, query, attended);
          ops.linear(attended, output!, null, rows, out, true);
        },
      };
    },
  };
}
