/** @file Format and page layouts of the keys and values of one layer. */
import { TurboQuantError } from "../errors.ts";
import { isFloat } from "../quant/codecs/registry.ts";
import type { LayerKvFormat, SideFormat } from "../quant/kv-format.ts";
import { latentFormat, latentLayout } from "../quant/latent-layout.ts";
import { PAGE_TOKENS, type PageLayout, pageLayout, RESIDUAL_PAGE_TOKENS } from "../quant/page-layout.ts";
import { windowSide } from "../quant/window-side.ts";
import { Reach } from "./states/reach.ts";
import { ResidualWindow } from "./states/residual-window.ts";
import type { LayerShape } from "./states/state-shape.ts";
import type { CoarserTier } from "./states/tiers.ts";

export interface LayerCache {
  /** As asked for; of latent attention with the type of keys for both sides. */
  readonly format: LayerKvFormat;
  /** Pages of codes; every token has its row here, or will have it when the residual window has passed it (`ResidualWindow.isAlone`). */
  readonly main: PageLayout;
  /** Layout of the pages of sinks and residual window, and which positions have them; null when the format has neither. */
  readonly residual: ResidualWindow | null;
  /** Coarser pages that older ones are coded anew into, from fine to coarse; none in most formats. */
  readonly tiers: readonly CoarserTier[];
  /** Which tokens a query can still attend to; pages that no later query reaches are released. */
  readonly reach: Reach;
  /** Tokens that have one row of the pages together; 1 where each has its own. */
  readonly tokensPerRow: number;
}

/** Whether attention reads part of this layer from pages of sinks and window. A cache of floats needs none. */
export function hasResidual(format: LayerKvFormat): boolean {
  return (format.sinks > 0 || format.window > 0) && !(isFloat(format.k) && isFloat(format.v));
}

/**
 * @throws TurboQuantError unsupported — widths without kernels, a type of keys that latent attention cannot read as values, or an 8-bit
 * window (`KvSpec.forModel` gives such layers 16) or tiers for latent attention
 */
export function layerCache(asked: LayerKvFormat, shape: LayerShape): LayerCache {
  const { numKvHeads, headDim, valueDim, rotaryKeyDim = 0, slidingWindow = 0, tokensPerRow = 1 } = shape;
  const isLatent = rotaryKeyDim > 0 || shape.isOneRow === true;
  const format = isLatent ? latentFormat(asked) : asked;
  const layoutOf = (k: SideFormat, v: SideFormat, tokens: number): PageLayout =>
    isLatent ? latentLayout(k, headDim, rotaryKeyDim, tokens) : pageLayout(k, v, headDim, numKvHeads, tokens, valueDim);
  const reach = new Reach(slidingWindow);
  const main = layoutOf(format.k, format.v, PAGE_TOKENS);
  if (isLatent && format.tiers) {
    throw new TurboQuantError(
      "unsupported",
      "--kv tiers=: latent attention has codes of one width; choose kNvM, or leave its layers out with layers=latent:k4v4",
    );
  }
  const tiers = (format.tiers ?? []).map(({ k, v, after }) => ({ layout: layoutOf(k, v, PAGE_TOKENS), after }));
  if (!hasResidual(format)) return { format, main, tiers, residual: null, reach, tokensPerRow };
  if (isLatent && format.windowBits === 8) {
    throw new TurboQuantError(
      "unsupported",
      "--kv window=8bit: latent attention holds its window in 16 bit; take the format of its model's layers (KvSpec.forModel), or say window=16bit",
    );
  }
  const side = windowSide(format);
  const layout = layoutOf(side, side, RESIDUAL_PAGE_TOKENS);
  return { format, main, tiers, residual: new ResidualWindow(format, layout, reach), reach, tokensPerRow };
}
