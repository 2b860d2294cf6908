/**
 * @file Plans the next step: one row for each decoding choice, and a limited number of rows for prompts.
 *
 * Results must not depend on which choices share a step. Sums over keys do not depend on how a prompt is cut, but a backend may
 * use different kernels for few and for many rows, and on float caches these differ in the last bits. So prompts are cut at
 * page ends only, and never into pieces of fewer than `MIN_SPAN` tokens.
 *
 * The rows for prompts are shared among clients: the first prompt of each gets an equal part, a page at least, and what these leave goes to the
 * others in their turns. Where a step has no page for each client, they take turns from step to step: who got rows goes behind those who did not. So
 * neither a long prompt nor many prompts of one client hold up another's.
 */
import { DECODE_TOKENS } from "../../backends/decode-tokens.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { type Choice, isDecoding, pendingTokens } from "./request.ts";

/** The fewest tokens in a piece of a prompt, unless the prompt is shorter: one more than a backend still decodes token by token. */
export const MIN_SPAN = DECODE_TOKENS + 1;

export interface PlannedSpan {
  readonly choice: Choice;
  readonly count: number;
  /** See `StepSpan.drafts`. */
  readonly drafts?: readonly number[];
}

export interface PlanOptions {
  /** The most prompt rows in a step, beside the rows of decoding choices; at least a page. */
  readonly chunkTokens: number;
  /** Whether generated tokens can be read again like a prompt, with results equal bit for bit. */
  readonly isRowInvariant: boolean;
}

export class StepPlanner {
  /** Clients whose prompts are being read, in the order in which they get rows. */
  #turns: string[] = [];

  /** choices: the running ones, in the order in which the prompts of each client are to be read */
  plan(choices: readonly Choice[], options: PlanOptions): PlannedSpan[] {
    const spans: PlannedSpan[] = choices.filter(isDecoding).map((choice) => ({ choice, count: 1 }));
    let left = Math.max(PAGE_TOKENS, options.chunkTokens);
    const reading = this.#inTurns(choices.filter((choice) => !isDecoding(choice)));
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

  /** Tells that a planned step begins: clients whose prompts it reads go to the end. */
  onBegin(spans: readonly PlannedSpan[]): void {
    const served = new Set(spans.filter(({ choice }) => !isDecoding(choice)).map(({ choice }) => clientOf(choice)));
    this.#turns = [...this.#turns.filter((client) => !served.has(client)), ...served];
  }

  /** The first choice of each client, then the second of each, and so on. A client that was not there before comes last. */
  #inTurns(choices: readonly Choice[]): { readonly choice: Choice; readonly turn: number }[] {
    const byClient = new Map<string, Choice[]>();
    for (const choice of choices) {
      const own = byClient.get(clientOf(choice)) ?? [];
      byClient.set(clientOf(choice), own);
      own.push(choice);
    }
    this.#turns = [...new Set([...this.#turns.filter((client) => byClient.has(client)), ...byClient.keys()])];
    const all = this.#turns.flatMap((client) => byClient.get(client)!.map((choice, turn) => ({ choice, turn })));
    return all.sort((a, b) => a.turn - b.turn);
  }
}

const clientOf = ({ request: { options } }: Choice): string => options.client ?? "";

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

/** Bytes of the pages that a step needs in addition, without drafts. */
export const bytesToReserve = (spans: readonly PlannedSpan[]): number =>
  spans.reduce((sum, { choice, count }) => sum + choice.sequence!.bytesToReserve(count), 0);
