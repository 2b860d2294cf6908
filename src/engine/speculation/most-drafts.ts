/**
 * @file How many tokens may be drafted, so that a cache is the same, bit by bit, as without drafts.
 *
 * A step writes rows of drafted tokens to positions that are reserved only, and commits those that turn out right. So nothing is ever cut back, and
 * what was wrong is overwritten. What limits a step is that its rows have to be what single rows are:
 *
 * - codes are added up in one order for any number of rows; other caches are for spans of up to `DECODE_TOKENS` rows;
 * - a state of fixed size is left by a step at two positions at most, and one of them has to be the first.
 */
import { DECODE_TOKENS } from "../../backends/decode-tokens.ts";
import type { Ops } from "../../backends/ops.ts";
import type { CacheParts } from "../../cache/cache-parts.ts";

/** The most drafted tokens that a step may have of one sequence. */
export function mostDrafts(ops: Pick<Ops, "isRowInvariant">, { layers, slots }: CacheParts): number {
  if (slots.some(({ fixedBytes }) => fixedBytes > 0)) return 1;
  return layers.every(({ format }) => ops.isRowInvariant(format)) ? Number.POSITIVE_INFINITY : DECODE_TOKENS - 1;
}
