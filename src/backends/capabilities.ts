/** @file What a backend can compute with: asked before weights are read, never assumed from its name. */

import { TurboQuantError } from "../errors.ts";
import { MAX_HEAD_DIM } from "../quant/head-dim.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

export interface Capabilities {
  /** Longest heads that it attends to, at most MAX_HEAD_DIM. */
  readonly maxHeadDim: number;
  /**
   * Returns when keys and values can be stored and read in this format.
   * @throws TurboQuantError unsupported — there is no kernel for it; with what to choose instead
   */
  checkKv(format: LayerKvFormat): void;
  /** Whether it computes with weights in this format. */
  hasWeights(type: string): boolean;
}

/** All that there is: plain TypeScript, or a stand-in that computes nothing. */
export const EVERYTHING: Capabilities = {
  maxHeadDim: MAX_HEAD_DIM,
  checkKv() {},
  hasWeights: () => true,
};

/** Whether keys and values can be stored and read in this format: `checkKv` for those who go on without it. */
export function canKeep(capabilities: Capabilities, format: LayerKvFormat): boolean {
  try {
    capabilities.checkKv(format);
    return true;
  } catch (error) {
    if (error instanceof TurboQuantError && error.code === "unsupported") return false;
    throw error;
  }
}
