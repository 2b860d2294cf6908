/**
 * @file Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): a token has one latent row that the keys and values of all
 * heads are made of, and one key part that carries the position.
 *
 * How it works. With W_uk and W_uv, a head's rows of `kv_b_proj`, its key is [W_uk·c ; r] and its value W_uv·c, for the normed latent
 * c and the turned rotary part r of a token. So its score is (W_ukᵀ·q_nope)·c + q_rope·r, and its output W_uv·Σ w·c: queries go into
 * the latent space and outputs come out of it, and attention is that of one KV head whose keys and values are the latent rows
 * (the absorbed form). Nothing but c and r is cached, and both products read `kv_b_proj` as it is stored, or W_ukᵀ and W_uv apart, as GGUF
 * files have them.
 */
import type { AttentionLayer, Gates, HeadProduct, RowNorm } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { LatentShape } from "../model-config.ts";
import type { RopeConfig } from "../rope.ts";
import { type Block, bias, norm, stackedMatrix, type WeightSpec, type WeightSpecs } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { headOrder, type RowOrder } from "./row-order.ts";
import { storedLatent } from "./stored-heads.ts";

export interface LatentAttentionShape extends LatentShape {
  readonly hiddenSize: number;
  readonly numHeads: number;
  /** Factors of the normed latents (LongCat); absent: 1. */
  readonly queryScale?: number;
  readonly kvScale?: number;
  /** Of the rotary part. */
  readonly rope: RopeConfig;
  /** Tokens that an indexer has chosen for each row, in `CHOSEN_TOKENS`, and perhaps the latents of queries in `QUERY_LATENT`; absent: all are attended to. */
  readonly chosen?: { readonly count: number; readonly hasQueryLatent: boolean };
}

/** Of the norms of latents, whatever a config says of the others. */
export const NORM_EPS = 1e-6;
/** The scratch buffer of the latents of queries that an indexer leaves. */
export const QUERY_LATENT = "queryLatent";
const ROTARY_KEY = "kv_a_proj_with_mqa";

/** What a family calls the tensors that differ, without the prefix and `.weight`. */
export interface LatentTensors {
  readonly output: string;
  /** A row of weights a head, whose product with the block's input, through a sigmoid, is the factor of the head's output; absent: 1. */
  readonly headGate?: string;
}

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.self_attn.` */
export function latentAttention(
  prefix: string,
  shape: LatentAttentionShape,
  tensors: LatentTensors = { output: "o_proj" },
): Block {
  const { hiddenSize, numHeads, rope, queryScale = 1, kvScale = 1, chosen } = shape;
  const { kvRank, queryRank, nopeDim, ropeDim, valueDim, hasBias, isSplit, scale } = shape;
  const headWidth = nopeDim + ropeDim;
  const rowWidth = kvRank + ropeDim;
  const outputName = `${prefix}${tensors.output}`;
  const gates: Gates = { first: 0, stride: numHeads, repeat: valueDim, activation: "sigmoid" };
  const [queries, keys] = [rotaryOrder(shape, nopeDim), rotaryOrder(shape, kvRank)];
  const weights: WeightSpecs = {
    ...(queryRank !== null
      ? {
          ...(!chosen?.hasQueryLatent && queryLatentWeights(prefix, shape, queryScale)),
          query: stackedMatrix(queryRank, [[`${prefix}q_b_proj.weight`, numHeads * headWidth, queries]]),
        }
      : { query: stackedMatrix(hiddenSize, [[`${prefix}q_proj.weight`, numHeads * headWidth, queries]]) }),
    kvDown: stackedMatrix(hiddenSize, [[`${prefix}${ROTARY_KEY}.weight`, rowWidth, keys]]),
    ...(hasBias && { kvDownBias: bias([[`${prefix}${ROTARY_KEY}.bias`, rowWidth, keys]]) }),
    kvNorm: { ...norm(`${prefix}kv_a_layernorm.weight`, kvRank), scale: kvScale },
    ...(isSplit
      ? {
          keyUp: headMatrices(`${prefix}k_b_proj.weight`, [numHeads, kvRank, nopeDim]),
          valueUp: headMatrices(`${prefix}v_b_proj.weight`, [numHeads, valueDim, kvRank]),
        }
      : { kvUp: stackedMatrix(kvRank, [[`${prefix}kv_b_proj.weight`, numHeads * (nopeDim + valueDim)]]) }),
    ...(tensors.headGate && {
      headGate: stackedMatrix(hiddenSize, [[`${prefix}${tensors.headGate}.weight`, numHeads]]),
    }),
    output: stackedMatrix(numHeads * valueDim, [[`${outputName}.weight`, hiddenSize]]),
    ...(hasBias && { outputBias: bias([[`${outputName}.bias`, hiddenSize]]) }),
  };
  const widened = storedLatent(kvRank, ropeDim);
  const stored = widened ?? { kvRank, ropeDim };
  const cached = { numKvHeads: 1, headDim: stored.kvRank, rotaryKeyDim: stored.ropeDim };
  const intoLatent: HeadProduct = isSplit
    ? { numHeads, headRows: kvRank, first: 0, count: kvRank, isTransposed: false, inputWidth: headWidth }
    : { numHeads, headRows: nopeDim + valueDim, first: 0, count: nopeDim, isTransposed: true, inputWidth: headWidth };
  const outOfLatent: HeadProduct = {
    ...{ numHeads, count: valueDim, isTransposed: false, inputWidth: kvRank },
    ...(isSplit ? { headRows: valueDim, first: 0 } : { headRows: nopeDim + valueDim, first: nopeDim }),
  };
  return {
    weights,
    scratch: {
      ...(queryRank !== null && !chosen?.hasQueryLatent && { queryDown: queryRank }),
      headQuery: numHeads * headWidth,
      latent: rowWidth,
      query: numHeads * (stored.kvRank + stored.ropeDim),
      attended: numHeads * stored.kvRank,
      ...(widened && {
        ...{ storedLatent: stored.kvRank + stored.ropeDim, latentQuery: numHeads * rowWidth },
        latentOutput: numHeads * kvRank,
      }),
      headOutput: numHeads * valueDim,
      ...(tensors.headGate && { headGates: numHeads }),
    },
    state: { kind: "kv", ...cached, slidingWindow: 0 },
    bind: (
      {
        queryDown,
        queryDownBias,
        queryNorm,
        query,
        kvDown,
        kvDownBias,
        kvNorm,
        kvUp,
        headGate,
        output,
        outputBias,
        ...split
      },
      { stateIndex, ropeIndex, format },
    ) => {
      const [keyUp, valueUp] = [kvUp ?? split["keyUp"]!, kvUp ?? split["valueUp"]!];
      const cache = layerCache(format, cached);
      const kv = new PreparedLayer(cache.format, cached);
      const layer: AttentionLayer = {
        index: stateIndex,
        numHeads,
        numKvHeads: 1,
        headDim: stored.kvRank,
        valueDim: stored.kvRank,
        rotaryKeyDim: stored.ropeDim,
        cache,
        kv,
        slidingWindow: 0,
        scale,
        valueScale: 1,
        softcap: 0,
        sinkLogits: null,
        rope: ropeIndex(rope, ropeDim, stored.ropeDim),
        qNorm: null,
        kNorm: null,
        normEps: NORM_EPS,
      };
      const latentNorm: RowNorm = {
        kind: "rms",
        weight: kvNorm!,
        bias: null,
        eps: NORM_EPS,
        add: false,
        first: 0,
        stride: rowWidth,
      };
      return {
        attention: layer,
        dispose: () => kv.dispose(),
        run: ({ ops, step, rows, scratch }, x, out, add) => {
          const [heads, latent, absorbed] = [scratch("headQuery"), scratch("latent"), scratch("query")];
          const [attended, headOutput] = [scratch("attended"), scratch("headOutput")];
          if (queryDown) {
            const low = scratch("queryDown");
            ops.linear(x, queryDown, queryDownBias ?? null, rows, low, false);
            ops.rmsNorm(low, queryNorm!, NORM_EPS, rows, low);
            ops.linear(low, query!, null, rows, heads, false);
          } else if (chosen?.hasQueryLatent) ops.linear(scratch(QUERY_LATENT), query!, null, rows, heads, false);
          else ops.linear(x, query!, null, rows, heads, false);
          ops.linear(x, kvDown!, kvDownBias ?? null, rows, latent, false);
          ops.norm(latent, latentNorm, rows, latent);
          const [latentQuery, ownLatent, latentOutput] = widened
            ? [scratch("latentQuery"), scratch("storedLatent"), scratch("latentOutput")]
            : [absorbed, latent, attended];
          ops.multiplyHeads(heads, keyUp, intoLatent, rows, latentQuery);
          widened?.widen(ops, rows * numHeads, latentQuery, absorbed);
          widened?.widen(ops, rows, latent, ownLatent);
          ops.appendLatent(step, layer, ownLatent, absorbed);
          const tokens = chosen && { positions: scratch(CHOSEN_TOKENS), count: chosen.count, lists: 1 };
          ops.attend(step, layer, absorbed, attended, tokens);
          widened?.narrow(ops, rows * numHeads, attended, latentOutput);
          ops.multiplyHeads(latentOutput, valueUp, outOfLatent, rows, headOutput);
          if (headGate) {
            const factors = scratch("headGates");
            ops.linear(x, headGate, null, rows, factors, false);
            ops.gate(headOutput, factors, gates, rows, numHeads * valueDim);
          }
          ops.linear(headOutput, output!, outputBias ?? null, rows, out, add);
        },
      };
    },
  };
}

/** A matrix of each head, one below the other. */
const headMatrices = (name: string, shape: readonly number[]): WeightSpec => ({
  role: "matrix",
  tensors: [{ name, shape }],
});

/** What the latents of queries are made by, whose rank is no null. */
export function queryLatentWeights(
  prefix: string,
  { hiddenSize, queryRank, hasBias }: Pick<LatentAttentionShape, "hiddenSize" | "queryRank" | "hasBias">,
  scale: number,
): WeightSpecs {
  return {
    queryDown: stackedMatrix(hiddenSize, [[`${prefix}q_a_proj.weight`, queryRank!]]),
    ...(hasBias && { queryDownBias: bias([[`${prefix}q_a_proj.bias`, queryRank!]]) }),
    queryNorm: { ...norm(`${prefix}q_a_layernorm.weight`, queryRank!), scale },
  };
}

/**
 * Brings neighbours that rope turns into halves of the rotary part, which comes behind `first` other rows of a head; null where it has
 * halves already.
 */
function rotaryOrder({ isInterleaved, ropeDim }: LatentShape, first: number): RowOrder | null {
  const turned = headOrder({ headDim: ropeDim, rotaryDim: ropeDim, isInterleaved }, 1);
  if (!turned) return null;
  const unit = first + ropeDim;
  return {
    unit,
    place: (row: number): number => {
      const within = row % unit;
      return within < first ? row : row - within + first + turned.place(within - first);
    },
  };
}
