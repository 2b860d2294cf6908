/** @file What codes of a side are expected to lose of a rotated vector. */
import { getCodebook } from "./codebook.ts";
import type { SideFormat } from "./kv-format.ts";
import { codeBits } from "./page-layout.ts";
import { TRELLIS_DISTORTION } from "./trellis.ts";

/** ‖x − x̂‖² / ‖x‖² of `tqN` codes with the published scale, no search and no feedback. */
export function codeDistortion({ type, trellis }: Pick<SideFormat, "type" | "trellis">, headDim: number): number {
  return trellis ? TRELLIS_DISTORTION : getCodebook(headDim, codeBits(type)).distortion;
}
