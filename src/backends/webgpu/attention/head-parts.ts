/** @file How the query heads of a KV head are shared out among workgroups. */
import type { AttentionLayer } from "../../ops.ts";

/** Query heads that a workgroup takes. Each has registers of every lane and a place in workgroup memory. */
const MOST_HEADS = 16;

export interface HeadParts {
  /** Workgroups that share the query heads of a KV head out. */
  readonly parts: number;
  /** Query heads of each; the last part takes some of the one before it along where they do not come out even. */
  readonly heads: number;
}

export function headParts({ numHeads, numKvHeads }: Pick<AttentionLayer, "numHeads" | "numKvHeads">): HeadParts {
  const group = numHeads / numKvHeads;
  const parts = Math.ceil(group / MOST_HEADS);
  return { parts, heads: Math.ceil(group / parts) };
}
