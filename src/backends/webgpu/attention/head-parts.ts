/** @file How the query heads of a KV head are distributed over workgroups. */
import type { AttentionLayer } from "../../ops.ts";

/** The most query heads of a workgroup. Each takes registers of every lane and workgroup memory. */
const MOST_HEADS = 16;

export interface HeadParts {
  /** Number of workgroups that share the query heads of a KV head. */
  readonly parts: number;
  /** Query heads of each part. If they do not divide evenly, the last part overlaps the one before it. */
  readonly heads: number;
}

/** most: heads of a part */
export function headParts(
  { numHeads, numKvHeads }: Pick<AttentionLayer, "numHeads" | "numKvHeads">,
  most = MOST_HEADS,
): HeadParts {
  const group = numHeads / numKvHeads;
  const parts = Math.ceil(group / most);
  return { parts, heads: Math.ceil(group / parts) };
}
