/**
 * @file How many tokens may be drafted, so that a cache is the same, bit by bit, as without drafts.
 *
 * A step writes rows of drafted tokens to positions that are reserved only, and commits those that turn out right. So nothing is ever cut back, and
 * what was wrong is overwritten. What limits a step is that its rows have to be what single rows are:
 *
 * - codes are added up in one order for any number of rows; other caches are for spans of up to `DECODE_TOKENS` rows;
 * - a state of fixed size is left by a step at two positions at most, and one of them has to be the first.
 *
 * And its logits have to be few, since no plan of memory counts those of drafts.
 */
import { DECODE_TOKENS } from "../../backends/decode-tokens.ts";
import type { Ops } from "../../backends/ops.ts";
import type { CacheParts } from "../../cache/cache-parts.ts";

/** Logits of all drafted rows of a step: those of 27 rows of a vocabulary of 152,000 tokens. What reads them back holds as many once more. */
const DRAFT_LOGIT_BYTES = 16 * 2 ** 20;

/** The most drafted tokens that a step may have of all its sequences together. */
export const mostDraftedRows = (vocabSize: number): number =>
  Math.floor(DRAFT_LOGIT_BYTES / (vocabSize * Float32Array.BYTES_PER_ELEMENT));

/** The most drafted tokens that a step may have of one sequence. */
export function mostDrafts(ops: Pick<Ops, "isRowInvariant">, { layers, slots }: CacheParts, vocabSize: number): number {
  const rows = mostDraftedRows(vocabSize);
  if (slots.some(({ fixedBytes }) => fixedBytes > 0)) return Math.min(1, rows);
  return layers.every(({ format }) => ops.isRowInvariant(format)) ? rows : Math.min(DECODE_TOKENS - 1, rows);
}
