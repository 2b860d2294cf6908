/** @file Model types that this package cannot run but can plan memory for: by the config, with the defaults of Transformers. */
import type { ConfigFields } from "../models/config-fields.ts";
import type { PlannedLayer, PlannedModel, PlannedWeight } from "./model-memory.ts";

type Description = Omit<PlannedModel, "name" | "modelType" | "runs" | "storedType" | "storedTypeOf">;

interface Family {
  readonly headDim?: number;
  /** Which projections have biases: q, k and v, or the output projection too. */
  readonly biases?: "qkv" | "all";
  /** Which layers have a sliding window if the config has no `layer_types`: all of them, or all except every n-th. */
  readonly sliding?: "all" | number;
  readonly window?: number;
  readonly experts: {
    readonly number: string;
    readonly width: string;
    readonly used: string;
    readonly shared?: boolean;
    readonly biases?: boolean;
    readonly sparseStep?: boolean;
  };
}

/** Every entry is checked against the number of parameters that the publisher states (other-models.test.ts). */
const FAMILIES: Readonly<Record<string, Family>> = {
  qwen2_moe: {
    biases: "qkv",
    experts: {
      number: "num_experts",
      width: "moe_intermediate_size",
      used: "num_experts_per_tok",
      shared: true,
      sparseStep: true,
    },
  },
  mixtral: {
    sliding: "all",
    experts: { number: "num_local_experts", width: "intermediate_size", used: "num_experts_per_tok" },
  },
  gpt_oss: {
    headDim: 64,
    biases: "all",
    sliding: 2,
    window: 128,
    experts: {
      number: "num_local_experts",
      width: "intermediate_size",
      used: "num_experts_per_tok",
      biases: true,
    },
  },
};

/** Model types that `describeOther` supports. */
export const otherTypes: readonly string[] = Object.keys(FAMILIES);

const MAX = 2 ** 24;

/**
 * modelType: one of `otherTypes`
 * @throws TurboQuantError invalid_file — a field is missing or out of range
 */
export function describeOther(modelType: string, config: ConfigFields): Description {
  const family = FAMILIES[modelType]!;
  const hiddenSize = config.integer("hidden_size", 1, MAX);
  const numLayers = config.integer("num_hidden_layers", 1, 1024);
  const numHeads = config.integer("num_attention_heads", 1, 4096);
  const numKvHeads = config.integer("num_key_value_heads", 1, numHeads, numHeads);
  const headDim = config.integer("head_dim", 8, 1024, family.headDim ?? Math.floor(hiddenSize / numHeads));
  const vocabSize = config.integer("vocab_size", 1, MAX);
  const windows = slidingWindows(config, family, numLayers);
  const layers: PlannedLayer[] = windows.map((slidingWindow) => ({ numKvHeads, headDim, slidingWindow }));
  const tied = config.boolean("tie_word_embeddings", false);
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;

  const matrix = (rows: number, cols: number, count = numLayers): PlannedWeight => ({
    tensors: [],
    rows,
    cols,
    use: "matrix",
    count,
  });
  const vector = (cols: number, count = numLayers): PlannedWeight => ({ ...matrix(1, cols, count), use: "vector" });
  const feedForward = feedForwardOf(config, family, { hiddenSize, numLayers }, matrix, vector);
  const hasBiases = (family.biases ?? (config.boolean("attention_bias", false) ? "all" : undefined)) !== undefined;
  const outputBias = hasBiases && family.biases !== "qkv";
  return {
    assumptions: [
      "turboquant does not run this model type: bytes are those that it would take in this package's layouts",
      ...feedForward.assumptions,
      ...(windows.some((window) => window > 0)
        ? ["sliding-window layers keep the pages of their window only, all other layers every token"]
        : []),
    ],
    layers,
    hiddenSize,
    numHeads,
    activationWidth: activationWidth({ hiddenSize, q, kv, intermediate: feedForward.width }),
    vocabSize,
    maxPositionEmbeddings: config.integer("max_position_embeddings", 1, 2 ** 30),
    weights: [
      { ...matrix(vocabSize, hiddenSize, tied ? 1 : 2), use: "embedding" },
      matrix(q + 2 * kv, hiddenSize),
      matrix(hiddenSize, q),
      ...(hasBiases ? [vector(q + 2 * kv)] : []),
      ...(outputBias ? [vector(hiddenSize)] : []),
      // gpt-oss has one learned sink for each head.
      ...(modelType === "gpt_oss" ? [vector(numHeads)] : []),
      vector(hiddenSize, 2 * numLayers + 1),
      ...feedForward.weights,
    ],
  };
}

/** Buffers as in the decoder's blocks: residual and norm, q|k|v, query, attended, gate|up and their product. */
function activationWidth(widths: { hiddenSize: number; q: number; kv: number; intermediate: number }): number {
  return 2 * widths.hiddenSize + (widths.q + 2 * widths.kv) + 2 * widths.q + 3 * widths.intermediate;
}

function slidingWindows(config: ConfigFields, family: Family, numLayers: number): number[] {
  const types = config.raw("layer_types");
  const window = config.has("sliding_window")
    ? config.integer("sliding_window", 1, 2 ** 30)
    : config.mentions("sliding_window")
      ? 0
      : (family.window ?? 0);
  if (Array.isArray(types)) {
    if (types.length !== numLayers) throw config.invalid("layer_types", `a list of ${numLayers}, one a layer`);
    const unknown = types.find((type) => type !== "full_attention" && type !== "sliding_attention");
    if (unknown !== undefined)
      throw config.unsupported("layer_types", "plan knows full_attention and sliding_attention");
    return types.map((type) => (type === "sliding_attention" ? window : 0));
  }
  if (family.sliding === undefined || config.raw("use_sliding_window") === false) {
    return Array.from({ length: numLayers }, () => 0);
  }
  const every =
    family.sliding === "all"
      ? Number.POSITIVE_INFINITY
      : config.integer("sliding_window_pattern", 1, 1024, family.sliding);
  return Array.from({ length: numLayers }, (_, layer) => ((layer + 1) % every === 0 ? 0 : window));
}

function feedForwardOf(
  config: ConfigFields,
  { experts }: Family,
  { hiddenSize, numLayers }: { hiddenSize: number; numLayers: number },
  matrix: (rows: number, cols: number, count?: number) => PlannedWeight,
  vector: (cols: number, count?: number) => PlannedWeight,
): { width: number; weights: PlannedWeight[]; assumptions: string[] } {
  const dense = (width: number, count: number): PlannedWeight[] =>
    count === 0 ? [] : [matrix(2 * width, hiddenSize, count), matrix(hiddenSize, width, count)];
  const number = config.integer(experts.number, 1, 65_536);
  const width = config.integer(experts.width, 1, MAX);
  const used = config.integer(experts.used, 1, number);
  const denseLayers = config.raw("mlp_only_layers");
  const step = experts.sparseStep ? config.integer("decoder_sparse_step", 1, 1024, 1) : 1;
  const isSparse = (layer: number): boolean =>
    !(Array.isArray(denseLayers) && denseLayers.includes(layer)) && (layer + 1) % step === 0;
  const sparse = Array.from({ length: numLayers }, (_, layer) => layer).filter(isSparse).length;
  const denseWidth = sparse < numLayers ? config.integer("intermediate_size", 1, MAX) : 0;
  const sharedWidth = experts.shared ? config.integer("shared_expert_intermediate_size", 1, MAX) : 0;
  return {
    width: Math.max(denseWidth, used * width + sharedWidth),
    weights: [
      ...dense(width, sparse * number),
      ...dense(denseWidth, numLayers - sparse),
      ...(sharedWidth > 0 ? [...dense(sharedWidth, sparse), matrix(1, hiddenSize, sparse)] : []),
      matrix(number, hiddenSize, sparse),
      ...(experts.biases
        ? [vector(2 * width, sparse * number), vector(hiddenSize, sparse * number), vector(number, sparse)]
        : []),
    ],
    assumptions: ["all experts stay in memory; activations are those of the experts that a token uses"],
  };
}
