/**
 * @file Plans the next step: one row for each decoding choice, and a limited number of rows for prompts.
 *
 * Results must not depend on which choices share a step. Sums over keys do not depend on how a prompt is cut, but a backend may
 * use different kernels for few and for many rows, and on float caches these differ in the last bits. So prompts are cut at
 * page ends only, and never into pieces of fewer than `MIN_SPAN` tokens.
 *
 * The rows for prompts are shared among clients: the first prompt of each gets an equal part, and what these leave goes to the others in their
 * turns. So neither a long prompt nor many prompts of one client hold up another's.
 */
import { DECODE_TOKENS } from "../../backends/decode-tokens.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { type Choice, isDecoding, pendingTokens } from "./request.ts";

/** The fewest tokens in a piece of a prompt, unless the prompt is shorter: one more than a backend still decodes token by token. */
export const MIN_SPAN = DECODE_TOKENS + 1;

export interface PlannedSpan {
  readonly choice: Choice;
  readonly count: number;
}

export interface PlanOptions {
  /** The most prompt rows in a step, beside the rows of decoding choices; at least a page. */
  readonly chunkTokens: number;
  /** Whether generated tokens can be read again like a prompt, with results equal bit for bit. */
  readonly isRowInvariant: boolean;
}

/** choices: the running ones, in the order in which the prompts of each client are to be read */
export function planStep(choices: readonly Choice[], options: PlanOptions): PlannedSpan[] {
  const spans: PlannedSpan[] = choices.filter(isDecoding).map((choice) => ({ choice, count: 1 }));
  let left = Math.max(PAGE_TOKENS, options.chunkTokens);
  const reading = inTurns(choices.filter((choice) => !isDecoding(choice)));
  let firsts = reading.filter(({ turn }) => turn === 0).length;
  for (const { choice, turn } of reading) {
    if (left <= 0) break;
    const rows = turn === 0 ? Math.max(PAGE_TOKENS, Math.floor(left / firsts--)) : left;
    const count = spanOf(choice, rows, options.isRowInvariant);
    if (count === 0) continue;
    spans.push({ choice, count });
    left -= count;
  }
  return spans;
}

/** One choice of each client, then the second of each, and so on. */
function inTurns(choices: readonly Choice[]): { readonly choice: Choice; readonly turn: number }[] {
  const counts = new Map<string, number>();
  const all = choices.map((choice) => {
    const { client = "" } = choice.request.options;
    const turn = counts.get(client) ?? 0;
    counts.set(client, turn + 1);
    return { choice, turn };
  });
  return all.sort((a, b) => a.turn - b.turn);
}

/**
 * Number of tokens that a choice which is not decoding takes when `left` prompt rows remain; may be 0, or slightly more than `left`.
 */
function spanOf(choice: Choice, left: number, isRowInvariant: boolean): number {
  const promptLength = choice.request.ids.length;
  const at = choice.sequence?.length ?? 0;
  // A choice that was preempted without a snapshot feeds its generated tokens again, one by one where the kernels would differ.
  if (at >= promptLength && !isRowInvariant) return 1;
  const pending = at < promptLength ? promptLength - at : pendingTokens(choice);
  if (pending <= left) return pending;
  const end = Math.floor((at + left) / PAGE_TOKENS) * PAGE_TOKENS;
  if (end <= at) return 0;
  return at + pending - end < MIN_SPAN ? pending : end - at;
}
