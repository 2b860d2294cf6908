/**
 * @file Which tokens of which choices make up the next step: one row of each that decodes, and a bounded piece of prompts.
 *
 * Results must not depend on the company. Sums over keys do not depend on how a prompt is cut, but a backend may use
 * another kernel for a few rows than for many, and on caches of floats the two differ in their last bits. So prompts are
 * cut at page ends only, and never so that fewer than `MIN_SPAN` tokens are left alone.
 */
import { DECODE_TOKENS } from "../../backends/decode-tokens.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { type Choice, isDecoding, pendingTokens } from "./request.ts";

/** A part of a prompt has at least so many tokens, unless the whole prompt is shorter: the fewest that are not decoded. */
export const MIN_SPAN = DECODE_TOKENS + 1;

export interface PlannedSpan {
  readonly choice: Choice;
  readonly count: number;
}

export interface PlanOptions {
  /** Rows of a step that prompts may take, beside those of the choices that decode; at least a page. */
  readonly chunkTokens: number;
  /** Whether generated tokens can be read in again like a prompt, with the same bits. */
  readonly isRowInvariant: boolean;
}

/** choices: running, in the order in which prompts are to be read */
export function planStep(choices: readonly Choice[], options: PlanOptions): PlannedSpan[] {
  const spans: PlannedSpan[] = choices.filter(isDecoding).map((choice) => ({ choice, count: 1 }));
  let left = Math.max(PAGE_TOKENS, options.chunkTokens);
  for (const choice of choices) {
    if (left <= 0) break;
    if (isDecoding(choice)) continue;
    const count = spanOf(choice, left, options.isRowInvariant);
    if (count === 0) continue;
    spans.push({ choice, count });
    left -= count;
  }
  return spans;
}

/** Tokens that a choice which does not decode may take of `left` rows; may be a few more, and 0. */
function spanOf(choice: Choice, left: number, isRowInvariant: boolean): number {
  const promptLength = choice.request.ids.length;
  const at = choice.sequence?.length ?? 0;
  // Preempted without its pages: what it had generated is fed again, as it came about where that matters.
  if (at >= promptLength && !isRowInvariant) return 1;
  const pending = at < promptLength ? promptLength - at : pendingTokens(choice);
  if (pending <= left) return pending;
  const end = Math.floor((at + left) / PAGE_TOKENS) * PAGE_TOKENS;
  if (end <= at) return 0;
  return at + pending - end < MIN_SPAN ? pending : end - at;
}
