/** @file What a backend can compute with. It is asked before weights are read, and never inferred from the backend's name. */

import { TurboQuantError } from "../errors.ts";
import { MAX_HEAD_DIM } from "../quant/head-dim.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

export interface Capabilities {
  /** The longest heads that it supports, at most MAX_HEAD_DIM. */
  readonly maxHeadDim: number;
  /**
   * Returns if keys and values can be stored and read in this format.
   * @throws TurboQuantError unsupported — no kernel for it; says what to choose instead
   */
  checkKv(format: LayerKvFormat): void;
  /** Whether attention can be over tokens that an indexer chooses. */
  readonly choosesTokens: boolean;
  /** Whether such attention can be over codes that grow coarser with age (`LayerKvFormat.tiers`). */
  readonly choosesInTiers: boolean;
  /**
   * Whether rows of the cache can stand for several tokens each (`AttentionLayer.tokensPerRow`). With it come the operations that models with such rows
   * need besides: `Ops.compress`, `turnHeads`, `streamFactors`, and sums of weights of `attend`.
   */
  readonly compressesTokens: boolean;
  /** Whether blocks can read the numbers of tokens: `Ops.embedNgrams`, `routeTokens`, and `matchStreams`, which goes with them. */
  readonly readsTokens: boolean;
  /** Whether it can compute with weights in this format. */
  hasWeights(type: string): boolean;
}

/** What blocks of some models need besides, and what each is called in messages. */
export const ABILITIES = {
  choosesTokens: "attention to the tokens that an indexer chooses",
  choosesInTiers: "attention to chosen tokens in tiers of codes (--kv auto, tiers=)",
  compressesTokens: "rows of the cache that stand for several tokens",
  readsTokens: "blocks that read the numbers of tokens",
} as const;

export type Ability = keyof typeof ABILITIES;

/** For backends that can do everything: plain TypeScript, or a stand-in that computes nothing. */
export const EVERYTHING: Capabilities = {
  maxHeadDim: MAX_HEAD_DIM,
  checkKv() {},
  choosesTokens: true,
  choosesInTiers: true,
  compressesTokens: true,
  readsTokens: true,
  hasWeights: () => true,
};

/** `checkKv` as a boolean, for callers that continue without the format. */
export function canKeep(capabilities: Capabilities, format: LayerKvFormat): boolean {
  try {
    capabilities.checkKv(format);
    return true;
  } catch (error) {
    if (error instanceof TurboQuantError && error.code === "unsupported") return false;
    throw error;
  }
}
