/** @file Pages that a step codes anew in fewer bits because of their age. */
import type { PageAddress } from "../cache/page-storage.ts";
import type { AttentionLayer, Step } from "./ops.ts";

/** A page that is coded anew, and the page of a coarser tier that it becomes. */
export interface PageMove {
  readonly from: PageAddress;
  readonly to: PageAddress;
}

const NO_MOVES: readonly PageMove[] = [];

/** The pages that become old enough for a tier in this step, of those that a query can still reach. */
export function agedPages(
  step: Step,
  { index, cache: { main, reach } }: AttentionLayer,
  tier: number,
): readonly PageMove[] {
  let moves: PageMove[] | null = null;
  for (const { sequence, start, count } of step.spans) {
    const state = sequence.kv(index);
    const [finer, coarser] = [state.tiers[tier - 1] ?? state.main, state.tiers[tier]!];
    const end = state.tierPages(tier, start + count);
    for (
      let page = Math.max(state.tierPages(tier, start), reach.firstPage(start, main.pageTokens));
      page < end;
      page++
    ) {
      moves ??= [];
      moves.push({ from: finer.get(page), to: coarser.get(page) });
    }
  }
  return moves ?? NO_MOVES;
}
