/**
 * @file The cache of latent attention: one row a token that serves as key and as value, and the rotary key part beside it.
 *
 * The row is stored as the format says for keys: what it is worth as a key decides which tokens are attended to. The rotary part is kept
 * in 16 bits: it is a ninth of the numbers in published models, is not normed as the latent is, and carries the position; other
 * caches of latents with codes (FlashMLA's FP8 rows) keep it in 16 bits as well.
 */
import { TurboQuantError } from "../errors.ts";
import { codecOf, isFloat, nameOf, type SideFormat } from "./codecs/registry.ts";
import { checkHeadDim } from "./head-dim.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import { plain } from "./kv-presets.ts";
import { type PageLayout, RegionPlacer } from "./page-layout.ts";

/** How the rotary parts are stored beside rows of this side. */
const rotarySide = (row: SideFormat): SideFormat =>
  plain(isFloat(row) && codecOf(row).bitsOf(row) === 32 ? "f32" : "f16");

/**
 * The format of a layer whose rows are keys and values at once: that of its keys, for both.
 * @throws TurboQuantError unsupported — a type of keys that cannot be read as values too
 */
export function latentFormat(format: LayerKvFormat): LayerKvFormat {
  const codec = codecOf(format.k);
  // A sketch corrects products with queries, and KIVI stores keys by channel and values by token.
  if (codec.storePage || codec.recipeOf?.(format.k)?.hasSketch) {
    throw new TurboQuantError(
      "unsupported",
      `--kv ${nameOf(format.k)}: latent attention keeps one row a token that is key and value, which this type of keys cannot be; choose kNvM, q8_0, q4_0r, f16 or f32`,
    );
  }
  return { ...format, v: format.k };
}

/**
 * The layout of a page: the codes of the rows, the rotary parts, the scales of the rows. The arrays of values are those of keys.
 * headDim: of rows · rotaryKeyDim: of the parts beside them, 0 for none
 * @throws TurboQuantError unsupported — a width without kernels
 */
export function latentLayout(row: SideFormat, headDim: number, rotaryKeyDim: number, pageTokens: number): PageLayout {
  const dims = rotaryKeyDim > 0 ? [headDim, rotaryKeyDim, headDim + rotaryKeyDim] : [headDim];
  for (const dim of dims) checkHeadDim(dim, "page layout");
  const placer = new RegionPlacer(pageTokens, 1);
  const rows = codecOf(row).regionsOf(row, { side: "k", headDim });
  const apart = rotarySide(row);
  const planes = rows.planes.map((spec) => placer.plane(spec));
  const parts = rotaryKeyDim > 0 ? codecOf(apart).regionsOf(apart, { side: "k", headDim: rotaryKeyDim }).planes : [];
  const rotary = parts.map((part) => placer.plane({ ...part, name: "rotary" }));
  const side = { side: row, planes, scales: rows.scales.map((spec) => placer.region(spec)) };
  return {
    pageTokens,
    headDim,
    valueDim: headDim,
    numKvHeads: 1,
    k: side,
    v: side,
    rotaryKey: { side: apart, planes: rotary, scales: [], dim: rotaryKeyDim },
    isStoredWhole: false,
    numBytes: placer.end,
  };
}
