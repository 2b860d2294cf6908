/**
 * @file What the append and attention kernels are told of a format, in the blocks of src/backends/parameters/attention.ts.
 */
import type { SideFormat } from "../../quant/kv-format.ts";
import { codeBits, type Region, type SideLayout } from "../../quant/page-layout.ts";
import { kindOf } from "../../quant/side-kind.ts";
import { append, attend, SIDE_TYPES } from "../parameters/attention.ts";

/** Bytes of a block; both kernels' fit. */
export const PARAM_BYTES = Math.max(attend.numBytes, append.numBytes);

/** Bound of the integers of q8_0 and q4_0r, whose step is 1: the counterpart of a codebook's. */
export const LARGEST_IN_BLOCK = 128;

/** How kernels name a type: code widths 1–8 for tqN, others as in SIDE_TYPES. */
export function typeCode({ type, trellis }: Pick<SideFormat, "type" | "trellis">): number {
  if (trellis) return SIDE_TYPES.trellis;
  if (type === "f16") return SIDE_TYPES.f16;
  if (type === "f32") return SIDE_TYPES.f32;
  if (type === "q8_0") return SIDE_TYPES.q8_0;
  if (type === "q4_0r") return SIDE_TYPES.q4_0;
  if (kindOf(type) === "channel") return SIDE_TYPES.kivi + codeBits(type);
  return codeBits(type);
}

/** Tasks of an append: up to four rows of a KV head (assembly/store/append.ts). */
export const appendTasks = (rows: number, numKvHeads: number): number => Math.ceil(rows / 4) * numKvHeads;

/** Offset of a plane of codes; absent planes repeat the first, whose bytes a kernel may load but does not use. */
export const planeOffset = (layout: SideLayout, plane: 0 | 1 | 2): number =>
  (layout.planes[plane] ?? layout.planes[0]!).offset;

export const offsetOf = (region: Region | null | undefined): number => region?.offset ?? 0;
