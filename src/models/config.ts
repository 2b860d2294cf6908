/** @file Parses and checks a checkpoint's config.json. */
import { TurboQuantError } from "../errors.ts";
import { schemeNames, schemeOf } from "../formats/quantized/schemes.ts";
import { checkModelHeadDim } from "../quant/head-dim.ts";
import { parseActivation } from "./activation-names.ts";
import { ConfigFields, MAX_POSITION } from "./config-fields.ts";
import type { Family, LayerContext } from "./families/family.ts";
import { parseLatent } from "./latent-config.ts";
import type { LatentShape, LayerAttention, ModelConfig } from "./model-config.ts";
import { familyOf, textModelOf } from "./registry.ts";
import type { RopeConfig } from "./rope.ts";
import { contextLengthOf, NO_ROPE, parseRopes } from "./rope-config.ts";
import { type RopeOverride, withRope } from "./rope-override.ts";
import { parseSlidingWindow } from "./sliding-window.ts";
import { LLAMA_NAMES } from "./tensor-names.ts";
import { LLAMA_TRAITS, type Traits } from "./traits.ts";

export type { ModelConfig } from "./model-config.ts";

// Limits keep a damaged file from causing huge allocations. Each is far above any published model.
const MAX_WIDTH = 2 ** 20;
const MAX_LAYERS = 1024;
const MAX_HEADS = 4096;
const MAX_VOCAB = 2 ** 24;
/**
 * json: the parsed config.json, in the spelling of Transformers 4 or 5 · fileName: for messages · rope: in place of the config's, for a context of
 * `contextLength`
 * @throws TurboQuantError invalid_file — a field is absent, of a wrong type or out of range; unsupported — a model type or
 * feature that the decoder does not have
 */
export function parseModelConfig(
  json: unknown,
  fileName: string,
  {
    rope,
    contextLength,
  }: { readonly rope?: RopeOverride | undefined; readonly contextLength?: number | undefined } = {},
): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new TurboQuantError("invalid_file", `${fileName}: expected a JSON object; this is no config.json`, {
      file: fileName,
    });
  }
  const whole = new ConfigFields(json as Readonly<Record<string, unknown>>, fileName);
  refuseQuantization(whole);
  const { config: own, modelType } = textModelOf(whole);
  const family = familyOf(modelType, fileName);
  const named = family.fields ? own.renamed(family.fields) : own;
  const published = family.published ? named.changed(family.published(named)) : named;
  const config = rope ? withRope(published, rope, contextLength, family.defaults.maxPosition) : published;

  const hiddenSize = config.integer("hidden_size", 1, MAX_WIDTH);
  const numLayers = family.numLayers?.(config) ?? config.integer("num_hidden_layers", 1, MAX_LAYERS);
  const { defaults } = family;
  const latent = family.latent ? parseLatent(config, family.latent) : null;
  const { numHeads, numKvHeads, headDim } =
    family.hasAttention === false ? NO_HEADS : parseHeads(config, family, fileName, hiddenSize, latent);
  const maxPosition = config.integer("max_position_embeddings", 1, MAX_POSITION, defaults.maxPosition);
  const slidingWindow = parseSlidingWindow(config, family, numLayers);
  const intermediateSize =
    family.intermediateSize?.(config) ?? config.integer("intermediate_size", 1, MAX_WIDTH, defaults.intermediateSize);
  // Heads of an odd width are those of models without rope.
  const ropes = parseRopes(config, { family, headDim: headDim + (headDim % 2), maxPosition });
  const normEps = config.number(family.normEpsField ?? "rms_norm_eps", 0, 1, defaults.normEps ?? 1e-6);
  const ropeOf = ropesByLayer(config, family, ropes, slidingWindow, numLayers);
  if (rope) checkHasRope(ropeOf, numLayers, fileName);
  const attentionOf = attentionByLayer(config, family, { numKvHeads, headDim }, { numLayers, slidingWindow }, fileName);
  const activation = parseActivation(config, family.defaults.hiddenAct ?? "silu", family.activationField);
  const traits: Traits = { ...LLAMA_TRAITS, activation, ...family.traits?.(config) };
  for (let layer = 0; layer < numLayers; layer++) checkPairs(config, attentionOf(layer).headDim, ropeOf(layer), traits);
  return {
    modelType: family.modelType,
    isTextPart: own !== whole,
    vocabSize: config.integer("vocab_size", 1, MAX_VOCAB, defaults.vocabSize),
    hiddenSize,
    numLayers,
    numHeads,
    numKvHeads: latent ? 1 : numKvHeads,
    headDim: latent ? latent.kvRank + latent.ropeDim : headDim,
    latent,
    intermediateSize,
    normEps,
    // The wrapper of a text model may say it for both.
    tieWordEmbeddings:
      !family.isNeverTied &&
      (config.has("tie_word_embeddings") ? config : whole).boolean("tie_word_embeddings", defaults.tieWordEmbeddings),
    maxPositionEmbeddings: family.contextLength?.(config) ?? contextLengthOf(ropes.full, maxPosition),
    traits,
    names: { ...LLAMA_NAMES, ...family.names, ...family.namesOf?.(config) },
    expertsOf: family.experts?.(config, { numLayers, activation }) ?? (() => null),
    attentionOf,
    intermediateOf: (layer) => family.intermediateOf?.(config, layer, intermediateSize) ?? intermediateSize,
    slidingWindow,
    rope: ropes.full,
    ropeOf,
    mixer:
      family.mixer?.(config, {
        hiddenSize,
        numLayers,
        numHeads,
        normEps,
        latent,
        ropeOf,
        numKvHeads,
        headDim,
        slidingWindow,
      }) ?? (() => null),
    assemble: family.assemble?.(config) ?? null,
    bosTokenId: config.tokenIds("bos_token_id", defaults.bosTokenId)[0] ?? null,
    eosTokenIds: config.tokenIds("eos_token_id", defaults.eosTokenId),
    padTokenId: config.tokenIds("pad_token_id")[0] ?? null,
  };
}

type Heads = Pick<ModelConfig, "numHeads" | "numKvHeads" | "headDim">;

/** Of a model without attention. */
const NO_HEADS: Heads = { numHeads: 0, numKvHeads: 0, headDim: 0 };

/** The head_dim of latent attention is that of the rotary part. */
function parseHeads(
  config: ConfigFields,
  family: Family,
  fileName: string,
  hiddenSize: number,
  latent: LatentShape | null,
): Heads {
  const { defaults } = family;
  const numHeads = config.integer("num_attention_heads", 1, MAX_HEADS, defaults.numHeads);
  // In Transformers an explicit null means as many KV heads as query heads, even if the class's default is another number.
  const ownKvHeads = config.mentions("num_key_value_heads") ? numHeads : (defaults.numKvHeads ?? numHeads);
  const numKvHeads =
    family.numKvHeads?.(config, numHeads) ??
    (family.hasOwnKvHeads === false ? numHeads : config.integer("num_key_value_heads", 1, numHeads, ownKvHeads));
  if (numHeads % numKvHeads !== 0)
    throw config.invalid("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  // The same goes for head_dim.
  const ownHeadDim = config.mentions("head_dim") ? undefined : defaults.headDim;
  const headDim = latent?.ropeDim ?? parseHeadDim(config, fileName, numHeads, ownHeadDim ?? hiddenSize / numHeads);
  return { numHeads, numKvHeads, headDim };
}

function attentionByLayer(
  config: ConfigFields,
  family: Family,
  usual: Pick<LayerAttention, "numKvHeads" | "headDim">,
  at: LayerContext,
  fileName: string,
): ModelConfig["attentionOf"] {
  const byLayer = Array.from({ length: at.numLayers }, (_, layer): LayerAttention => {
    const own = { ...usual, valuesAreKeys: false, sharedWith: null, ...family.attentionOf?.(config, layer, at) };
    if (own.headDim !== usual.headDim) checkModelHeadDim(own.headDim, fileName);
    return own;
  });
  return (layer) => byLayer[layer]!;
}

/** Rope turns pairs of coordinates. */
function checkPairs(config: ConfigFields, headDim: number, rope: RopeConfig, { interleavesRope }: Traits): void {
  if (headDim % 2 === 0 || (rope.type === "none" && !interleavesRope)) return;
  throw config.unsupported("head_dim", "expected an even number, as rope turns pairs of coordinates");
}

function ropesByLayer(
  config: ConfigFields,
  family: Family,
  ropes: ReturnType<typeof parseRopes>,
  slidingWindow: (layer: number) => number,
  numLayers: number,
): ModelConfig["ropeOf"] {
  const windows = Array.from({ length: numLayers }, (_, layer) => slidingWindow(layer));
  const hasWindows = windows.some((window) => window > 0);
  // Layers that differ in nothing share an object.
  const made = new Map<string, RopeConfig>();
  const byLayer = windows.map((window, layer) => {
    const usual = window > 0 ? ropes.sliding : ropes.full;
    const theta = family.layerTheta?.(config, layer);
    const hasRope = theta !== 0 && family.hasRope?.(config, layer, { window, hasWindows }) !== false;
    const queryGrowth = family.queryGrowth?.(config, hasRope);
    const plain = hasRope ? usual : NO_ROPE;
    if (!queryGrowth && (!theta || plain.type === "none")) return plain;
    const own: RopeConfig = {
      ...plain,
      ...(theta && plain.type !== "none" && { theta }),
      ...(queryGrowth && { queryGrowth }),
    };
    const key = JSON.stringify(own);
    made.set(key, made.get(key) ?? own);
    return made.get(key)!;
  });
  return (layer) => byLayer[layer]!;
}

/** @throws TurboQuantError unsupported — no layer turns its heads, so that another rope would only promise positions that are not there */
function checkHasRope(ropeOf: ModelConfig["ropeOf"], numLayers: number, file: string): void {
  for (let layer = 0; layer < numLayers; layer++) if (ropeOf(layer).type !== "none") return;
  throw new TurboQuantError("unsupported", `rope: no layer of this model has rope (${file}); load it without`, {
    file,
  });
}

function refuseQuantization(config: ConfigFields): void {
  const quantized = config.raw("quantization_config");
  if (quantized !== undefined && !schemeOf({ quantization_config: quantized })) {
    throw config.unsupported(
      "quantization_config",
      `expected a quantization of ${schemeNames().join(", ")}; use the bf16 checkpoint of this model with --weights q8`,
    );
  }
}

function parseHeadDim(config: ConfigFields, fileName: string, numHeads: number, fallback: number): number {
  // In Qwen3 and Mistral Nemo head_dim · num_attention_heads ≠ hidden_size, so an explicit head_dim has precedence.
  if (!config.has("head_dim") && !Number.isInteger(fallback))
    throw config.invalid("hidden_size", `a multiple of num_attention_heads (${numHeads}), or an explicit head_dim`);
  const headDim = config.integer("head_dim", 1, MAX_WIDTH, fallback);
  checkModelHeadDim(headDim, fileName);
  return headDim;
}
