/**
 * @file What the append and attention kernels are told of a format, in the blocks of src/backends/parameters/attention.ts.
 */
import type { SideFormat } from "../../quant/kv-format.ts";
import { codeBits, type Region, type SideLayout } from "../../quant/page-layout.ts";
import { kindOf } from "../../quant/side-kind.ts";
import { append, appendSide, attend, attendSide, SIDE_TYPES, span } from "../parameters/attention.ts";

/** Bytes of a block; both kernels' fit. */
export const PARAM_BYTES = Math.max(attend.numBytes, append.numBytes);
export const SPAN_BYTES = span.numBytes;
/** Both blocks have their sides in one place. */
export const K_SIDE = attend.offsets.kSide;
export const V_SIDE = attend.offsets.vSide;

export const ATTEND = attend.offsets;
export const ATTEND_SIDE = { ...attendSide.offsets, planes: planesOf(attendSide) };
export const APPEND = append.offsets;
export const APPEND_SIDE = { ...appendSide.offsets, planes: planesOf(appendSide) };
export const SPAN = span.offsets;

function planesOf({ offsets }: typeof attendSide | typeof appendSide): readonly number[] {
  return [offsets.plane0, offsets.plane1, offsets.plane2];
}

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

/** Writes u32 words by offset. */
export function putWords(view: DataView, base: number, words: readonly (readonly [number, number])[]): void {
  for (const [offset, value] of words) view.setUint32(base + offset, value, true);
}

/** Plane offsets of a side; absent planes repeat the first, whose bytes a kernel may load but does not use. */
export function planeWords(layout: SideLayout, offsets: readonly number[]): [number, number][] {
  return offsets.map((offset, i) => [offset, (layout.planes[i] ?? layout.planes[0]!).offset]);
}

export const offsetOf = (region: Region | null | undefined): number => region?.offset ?? 0;
