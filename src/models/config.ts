/** @file Parses and checks a checkpoint's config.json. */
import { TurboQuantError } from "../errors.ts";
import { schemeNames, schemeOf } from "../formats/quantized/schemes.ts";
import { checkHeadDim } from "../quant/head-dim.ts";
import { ConfigFields } from "./config-fields.ts";
import type { Family } from "./families/family.ts";
import type { ModelConfig } from "./model-config.ts";
import { familyOf } from "./registry.ts";
import { contextLengthOf, parseRopeConfig } from "./rope-config.ts";

export type { ModelConfig } from "./model-config.ts";

// Limits keep a damaged file from causing huge allocations. Each is far above any published model.
const MAX_WIDTH = 2 ** 20;
const MAX_LAYERS = 1024;
const MAX_HEADS = 4096;
const MAX_VOCAB = 2 ** 24;
const MAX_POSITION = 2 ** 30;
/** `sliding_window` of MistralConfig, Qwen2Config and Qwen3Config when a file leaves it out. */
const DEFAULT_SLIDING_WINDOW = 4096;

/**
 * json: the parsed config.json, in the spelling of Transformers 4 or 5 · fileName: for messages
 * @throws TurboQuantError invalid_file — a field is absent, of a wrong type or out of range; unsupported — a model type or
 * feature that the decoder does not have
 */
export function parseModelConfig(json: unknown, fileName: string): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new TurboQuantError("invalid_file", `${fileName}: expected a JSON object; this is no config.json`, {
      file: fileName,
    });
  }
  const config = new ConfigFields(json as Readonly<Record<string, unknown>>, fileName);
  const family = familyOf(config.string("model_type"), fileName);
  refuseFeatures(config, family);

  const hiddenSize = config.integer("hidden_size", 1, MAX_WIDTH);
  const numLayers = config.integer("num_hidden_layers", 1, MAX_LAYERS);
  const numHeads = config.integer("num_attention_heads", 1, MAX_HEADS);
  const { defaults } = family;
  // In Transformers an explicit null means as many KV heads as query heads, even if the class's default is another number.
  const ownKvHeads = config.mentions("num_key_value_heads") ? numHeads : (defaults.numKvHeads ?? numHeads);
  const numKvHeads = config.integer("num_key_value_heads", 1, numHeads, ownKvHeads);
  if (numHeads % numKvHeads !== 0)
    throw config.invalid("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  const maxPosition = config.integer("max_position_embeddings", 1, MAX_POSITION);
  const rope = parseRopeConfig(config, maxPosition);
  return {
    modelType: family.modelType,
    vocabSize: config.integer("vocab_size", 1, MAX_VOCAB),
    hiddenSize,
    numLayers,
    numHeads,
    numKvHeads,
    headDim: parseHeadDim(config, fileName, numHeads, defaults.headDim ?? hiddenSize / numHeads),
    intermediateSize: config.integer("intermediate_size", 1, MAX_WIDTH),
    rmsNormEps: config.number("rms_norm_eps", 0, 1, 1e-6),
    tieWordEmbeddings: config.boolean("tie_word_embeddings", defaults.tieWordEmbeddings),
    maxPositionEmbeddings: contextLengthOf(rope, maxPosition),
    qkNorm: family.qkNorm,
    attentionBias: family.attentionBias === "always",
    slidingWindow: parseSlidingWindow(config, family, numLayers),
    rope,
    bosTokenId: config.tokenIds("bos_token_id", defaults.bosTokenId)[0] ?? null,
    eosTokenIds: config.tokenIds("eos_token_id", defaults.eosTokenId),
    padTokenId: config.tokenIds("pad_token_id")[0] ?? null,
  };
}

/** Refuses features that a config of a known family may ask for and the decoder does not have. */
function refuseFeatures(config: ConfigFields, family: Family): void {
  const activation = config.string("hidden_act", "silu");
  if (activation !== "silu") throw config.unsupported("hidden_act", 'expected "silu"');
  if (family.attentionBias === "configurable" && config.boolean("attention_bias", false)) {
    throw config.unsupported(
      "attention_bias",
      "a bias of the attention's output projection is not supported; expected false",
    );
  }
  if (config.boolean("mlp_bias", false))
    throw config.unsupported("mlp_bias", "biases in the feed-forward are not supported; expected false");
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
  checkHeadDim(headDim, fileName);
  return headDim;
}

function parseSlidingWindow(config: ConfigFields, family: Family, numLayers: number): (layer: number) => number {
  const full = () => 0;
  if (family.slidingWindow === "none") return full;
  const enabled = family.slidingWindow === "all" || config.boolean("use_sliding_window", false);
  // An explicit null means no sliding window; a config without the field relies on Transformers' default.
  const none = config.mentions("sliding_window") && !config.has("sliding_window");
  const window = enabled && !none ? config.integer("sliding_window", 1, MAX_POSITION, DEFAULT_SLIDING_WINDOW) : 0;
  const types = config.raw("layer_types");
  if (types !== undefined) {
    if (!Array.isArray(types) || types.length !== numLayers)
      throw config.invalid("layer_types", `a list of ${numLayers}, one a layer`);
    const unknown = types.find((type) => type !== "full_attention" && type !== "sliding_attention");
    if (unknown !== undefined) {
      throw config.unsupported(
        "layer_types",
        `expected only full_attention and sliding_attention, not ${JSON.stringify(unknown)}`,
      );
    }
    if (window === 0 && types.includes("sliding_attention")) {
      throw config.invalid(
        family.slidingWindow === "upper" && !enabled ? "use_sliding_window" : "sliding_window",
        "a window, as layer_types has sliding_attention",
      );
    }
    return (layer) => (types[layer] === "sliding_attention" ? window : 0);
  }
  if (window === 0) return full;
  if (family.slidingWindow === "all") return () => window;
  const from = config.integer("max_window_layers", 0, 2 ** 16, family.defaults.maxWindowLayers ?? 0);
  return (layer) => (layer >= from ? window : 0);
}
