/** @file What the append and attention kernels need to know of a format, in the blocks of src/backends/parameters/attention.ts. */
import type { Region, SideRegions } from "../../quant/page-regions.ts";
import { APPEND_ROWS, append, attend } from "../parameters/attention.ts";

/** Bytes of a parameter block that is large enough for both kernels. */
export const PARAM_BYTES = Math.max(attend.numBytes, append.numBytes);

/** Bound of the integers of q8_0 and q4_0r, whose step is 1; corresponds to the largest level of a codebook. */
export const LARGEST_IN_BLOCK = 128;

export const appendTasks = (rows: number, numKvHeads: number): number => Math.ceil(rows / APPEND_ROWS) * numKvHeads;

/** Offset of a plane of codes; absent planes repeat the first one, whose bytes a kernel may load but does not use. */
export function planeOffset({ planes }: SideRegions, index: 0 | 1 | 2): number {
  const plane = planes[index];
  return (plane?.name === "codes" ? plane : planes[0]!).offset;
}

export const offsetOf = (region: Region | null | undefined): number => region?.offset ?? 0;
