/** @file What keys of an indexer are stored as beside keys of a type: which tokens are chosen is worth more than the bytes (decision 17). */
import { codecOf, type SideFormat, sideOf } from "./codecs/registry.ts";
import { parsePreset } from "./kv-presets.ts";

/** The fewest bits of codes that nobody has chosen for them. */
const LEAST_BITS = 8;

/** k: of the layer's own keys. Codes of fewer bits are those of 8 here; floats and blocks stay as they are. */
export function indexSide(k: SideFormat): SideFormat {
  const codec = codecOf(k);
  const hasFewBits = codec.recipeOf?.(k) !== undefined && codec.bitsOf(k) < LEAST_BITS;
  return hasFewBits ? sideOf(parsePreset(`k${LEAST_BITS}v${LEAST_BITS}`).k) : k;
}
