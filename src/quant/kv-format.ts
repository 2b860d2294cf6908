/** @file The format of a layer of a KV cache: storage of each side, the tokens with 16-bit copies, and the rotation. */
import type { SideFormat } from "./codecs/registry.ts";
import type { RotationKind } from "./rules.ts";

export type { SideFormat } from "./codecs/registry.ts";
export type { Bits, RotationKind, ScaleRule } from "./rules.ts";

/** The format of one layer. */
export interface LayerKvFormat {
  readonly k: SideFormat;
  readonly v: SideFormat;
  /** Number of first tokens of a sequence that attention reads in 16 bit. */
  readonly sinks: number;
  /** Number of most recent tokens (the query's own included) that attention reads in 16 bit. */
  readonly window: number;
  readonly rotation: RotationKind;
  readonly seed: number;
}
