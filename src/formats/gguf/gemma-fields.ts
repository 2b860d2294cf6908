/** @file What metadata of Gemma files stand for in config.json. Their norms hold 1 + w, so that nothing is added to them. */
import type { JsonObject } from "../json-file.ts";
import type { Metadata } from "./metadata.ts";

export interface ModelSizes {
  readonly numLayers: number;
  readonly numHeads: number;
  readonly hiddenSize: number;
  readonly headDim: number;
  /** Whether q, k and v have biases. */
  readonly hasBias: boolean;
  /** Of each layer, whether it has a tensor of this name, as the tables of architectures call it. */
  layersWith(part: string): readonly boolean[];
  /** Of a tensor by its name in the file; undefined for one that is not there. */
  shapeOf(name: string): readonly number[] | undefined;
}

const MAX_CAP = 1e6;
const MAX_POSITION = 2 ** 30;
/** Files do not say how scores are scaled. The largest models, known by their layers, have a number of their own. */
const LARGEST = { gemma2: 46, gemma3: 62 };

export const ofGemma = (): JsonObject => ({ norm_offset: 0 });

export function ofGemma2(metadata: Metadata, sizes: ModelSizes): JsonObject {
  return {
    ...ofGemma(),
    ...scaleOf(sizes, LARGEST.gemma2),
    ...windowOf(metadata, 4096),
    attn_logit_softcapping: metadata.number(metadata.own("attn_logit_softcapping"), 0, MAX_CAP, 50),
    final_logit_softcapping: metadata.number(metadata.own("final_logit_softcapping"), 0, MAX_CAP, 30),
  };
}

/** Ollama has other keys for both ropes. */
export function ofGemma3(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const theta = (names: readonly string[], otherwise: number): number => {
    const keys = names.map((name) => metadata.own(`rope.${name}`));
    return metadata.number(keys.find((key) => metadata.has(key)) ?? keys[0]!, 1.001, 1e15, otherwise);
  };
  return {
    ...ofGemma(),
    ...scaleOf(sizes, LARGEST.gemma3),
    ...windowOf(metadata, null),
    rope_theta: theta(["freq_base", "global.freq_base"], 1e6),
    rope_local_base_freq: theta(["freq_base_swa", "local.freq_base"], 1e4),
    final_logit_softcapping: metadata.number(metadata.own("final_logit_softcapping"), 0, MAX_CAP, 0),
  };
}

const scaleOf = ({ numLayers, numHeads, hiddenSize, headDim }: ModelSizes, largest: number): JsonObject => ({
  query_pre_attn_scalar: numLayers === largest ? hiddenSize / numHeads : headDim,
});

/**
 * `sliding_window`, null for none, and which layers have it. A window of 0 is none. A pattern is a number, as in config.json, or says
 * of each layer whether it slides.
 *
 * fallback: for files that name no window
 */
export function windowOf(metadata: Metadata, fallback: number | null): JsonObject {
  const key = metadata.own("attention.sliding_window");
  const window =
    (metadata.raw(key) ?? fallback ?? 0) === 0 ? null : metadata.size(key, MAX_POSITION, fallback ?? undefined);
  if (window === null) return { sliding_window: null };
  const patternKey = metadata.own("attention.sliding_window_pattern");
  const pattern = metadata.perLayer(patternKey) ?? metadata.raw(patternKey);
  if (Array.isArray(pattern)) {
    return {
      sliding_window: window,
      layer_types: pattern.map((slides) => (slides ? "sliding_attention" : "full_attention")),
    };
  }
  return { sliding_window: window, ...(typeof pattern === "number" && { sliding_window_pattern: pattern }) };
}
