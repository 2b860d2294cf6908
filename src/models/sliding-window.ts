/** @file Parses which layers of a config.json have a sliding window. */

import type { ConfigFields } from "./config-fields.ts";
import { MAX_POSITION } from "./config-fields.ts";
import type { Family } from "./families/family.ts";

/** `sliding_window` where a file leaves it out, the same in most config classes of Transformers. */
const DEFAULT_SLIDING_WINDOW = 4096;
const DEFAULT_PATTERN = 4;
/** `attention_chunk_size` where a file leaves it out. */
const DEFAULT_CHUNK = 8192;

/** returns: positions a token of a layer attends to, 0 for all */
export function parseSlidingWindow(config: ConfigFields, family: Family, numLayers: number): (layer: number) => number {
  const full = () => 0;
  const { slidingWindow: rule, defaults } = family;
  if (rule === "none") return full;
  if (rule === "chunks") return parseChunks(config, family, numLayers);
  const hasSwitch = family.hasWindowSwitch ?? rule === "upper";
  const enabled = !hasSwitch || config.boolean("use_sliding_window", false);
  // An explicit null means no sliding window; a config without the field relies on Transformers' default.
  const otherwise = defaults.slidingWindow === undefined ? DEFAULT_SLIDING_WINDOW : defaults.slidingWindow;
  const isNone = config.mentions("sliding_window") ? !config.has("sliding_window") : otherwise === null;
  const window = enabled && !isNone ? config.integer("sliding_window", 1, MAX_POSITION, otherwise ?? 0) : 0;
  const types = config.raw("layer_types") ?? family.layerTypes?.(config, numLayers);
  const known = ["full_attention", "sliding_attention", ...(family.otherLayerTypes ?? [])];
  if (types !== undefined) {
    const byType = byTypes(config, types, known, numLayers, window, !enabled);
    return defaults.lastAttendsToAll ? (layer) => (layer === numLayers - 1 ? 0 : byType(layer)) : byType;
  }
  if (window === 0) return full;
  if (rule === "all") return () => window;
  if (rule === "pattern") {
    const isFull = parsePattern(config, family, numLayers);
    return (layer) => (isFull(layer) || (defaults.lastAttendsToAll && layer === numLayers - 1) ? 0 : window);
  }
  const from = config.integer("max_window_layers", 0, 2 ** 16, defaults.maxWindowLayers ?? 0);
  return (layer) => (layer >= from ? window : 0);
}

/** Chunks, on the layers that `layer_types` says, by default on those with rope. */
function parseChunks(config: ConfigFields, family: Family, numLayers: number): (layer: number) => number {
  const field = "attention_chunk_size";
  const isNone = config.mentions(field) && !config.has(field);
  const size = isNone ? 0 : config.integer(field, 1, MAX_POSITION, DEFAULT_CHUNK);
  const types = config.raw("layer_types");
  if (types === undefined) {
    const at = { window: size, hasWindows: size > 0 };
    return (layer) => (family.hasRope?.(config, layer, at) === false ? 0 : size);
  }
  const isType = (type: unknown): boolean => type === "full_attention" || type === "chunked_attention";
  if (!Array.isArray(types) || types.length !== numLayers || !types.every(isType))
    throw config.invalid(
      "layer_types",
      `a list of ${numLayers} times full_attention or chunked_attention, one a layer`,
    );
  if (size === 0 && types.includes("chunked_attention"))
    throw config.invalid(field, "a number of positions, as layer_types has chunked_attention");
  return (layer) => (types[layer] === "chunked_attention" ? size : 0);
}

function byTypes(
  config: ConfigFields,
  types: unknown,
  known: readonly string[],
  numLayers: number,
  window: number,
  isSwitchedOff: boolean,
) {
  if (!Array.isArray(types) || types.length !== numLayers)
    throw config.invalid("layer_types", `a list of ${numLayers}, one a layer`);
  const unknown = types.find((type) => !known.includes(type));
  if (unknown !== undefined) {
    throw config.unsupported(
      "layer_types",
      `expected only ${known.slice(0, -1).join(", ")} and ${known.at(-1)}, not ${JSON.stringify(unknown)}`,
    );
  }
  if (window === 0 && types.includes("sliding_attention")) {
    throw config.invalid(
      isSwitchedOff ? "use_sliding_window" : "sliding_window",
      "a window, as layer_types has sliding_attention",
    );
  }
  return (layer: number) => (types[layer] === "sliding_attention" ? window : 0);
}

/** Which layers attend to everything: each n-th, or those of a text like LLLG, which repeats and whose last layer always does. */
function parsePattern(config: ConfigFields, family: Family, numLayers: number): (layer: number) => boolean {
  const field = family.patternField ?? "sliding_window_pattern";
  const pattern = config.raw(field);
  if (typeof pattern === "string") {
    if (!/^[LG]+$/.test(pattern)) throw config.invalid(field, "a number, or letters L and G");
    return (layer) => pattern[layer % pattern.length] === "G" || layer === numLayers - 1;
  }
  const each = config.integer(field, 0, 2 ** 16, family.defaults.windowPattern ?? DEFAULT_PATTERN);
  return (layer) => each === 0 || (layer + 1) % each === 0;
}
