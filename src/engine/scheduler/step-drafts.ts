/** @file Drafts of a planned step: what choices that speculate would go on with, as far as pages and rows allow. */
import type { LLM } from "../llm.ts";
import { mostDraftedRows } from "../speculation/most-drafts.ts";
import { isDecoding } from "./request.ts";
import { bytesToReserve, type PlannedSpan } from "./step-plan.ts";

const isDrafted = ({ choice }: PlannedSpan): boolean => choice.speculator !== null && isDecoding(choice);

/**
 * The spans, with drafts for the choices that decode and speculate as far as pages for them are free. They share the drafted rows that a step
 * may have. limitBytes: of the pool, now
 */
export async function withDrafts(
  spans: readonly PlannedSpan[],
  { cache: { pool }, config }: Pick<LLM, "cache" | "config">,
  limitBytes: () => number,
): Promise<readonly PlannedSpan[]> {
  let choices = spans.filter(isDrafted).length;
  if (choices === 0) return spans;
  const all: PlannedSpan[] = [];
  let bytes = bytesToReserve(spans);
  let rows = mostDraftedRows(config.vocabSize);
  for (const span of spans) {
    if (!isDrafted(span)) {
      all.push(span);
      continue;
    }
    const { tokens, sequence, continuation, speculator } = span.choice;
    const more = (count: number): number => sequence!.bytesToReserve(count) - sequence!.bytesToReserve(1);
    const drafts = await speculator!.propose(
      tokens,
      continuation,
      (count) => pool.numBytes + bytes + more(count) <= limitBytes(),
      Math.ceil(rows / choices--),
    );
    rows -= drafts.length;
    bytes += more(1 + drafts.length);
    all.push({ ...span, drafts });
  }
  return all;
}
