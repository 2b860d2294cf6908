/** @file The format of a layer of a KV cache: storage of each side, how its first and its latest tokens are held, and the rotation. */
import type { SideFormat } from "./codecs/registry.ts";
import type { RotationKind } from "./rules.ts";

export type { SideFormat } from "./codecs/registry.ts";
export type { Bits, RotationKind, ScaleRule } from "./rules.ts";

/** Codes of tokens that are no longer among the latest. */
export interface Tier {
  readonly k: SideFormat;
  readonly v: SideFormat;
  /** A page is coded anew for this tier when at least so many tokens are behind its last one. */
  readonly after: number;
}

/** The format of one layer. */
export interface LayerKvFormat {
  readonly k: SideFormat;
  readonly v: SideFormat;
  /** Number of first tokens of a sequence that attention reads in 16 bit, or in `windowBits`. */
  readonly sinks: number;
  /** Number of most recent tokens (the query's own included) that attention reads in 16 bit, or in `windowBits`. */
  readonly window: number;
  /**
   * Bits of a number in sinks and window. 8: as codes of 8 bits, and a token of the window has no others; when it leaves, it is coded
   * anew from them. Absent: as copies in 16 bit beside the codes, which every token has from the first.
   */
  readonly windowBits?: 8 | undefined;
  /** Coarser codes for older pages, from fine to coarse; absent: `k` and `v` for tokens of any age. */
  readonly tiers?: readonly Tier[] | undefined;
  readonly rotation: RotationKind;
  readonly seed: number;
}
