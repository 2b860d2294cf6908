/** @file The choice of tokens that attention is over: from the scores that kernels leave, and as the bits that kernels read. */
import { ChoiceScratch, chooseBest, chooseBlocks, chooseRuns } from "../choose-best.ts";
import type { Span, Step, TokenBlocks, TokenRuns } from "../ops.ts";
import type { attend } from "../parameters/attention.ts";
import type { ValuesOf } from "../parameters/struct.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { SCORE_BYTES } from "./sizes.ts";

/** `ChosenTokens` with the address of the positions. */
export interface ChosenAt {
  readonly positions: number;
  readonly count: number;
  readonly lists: number;
}

/** What kernels are told of chosen tokens, and of the scores that tokens are chosen by. */
export type ChosenBits = Pick<
  ValuesOf<typeof attend>,
  "chosen" | "chosenLists" | "chosenWords" | "headWeights" | "scores" | "scoreStride" | "logSums"
>;

export const ALL_CHOSEN: ChosenBits = {
  ...{ chosen: 0, chosenLists: 0, chosenWords: 0 },
  ...{ headWeights: 0, scores: 0, scoreStride: 0, logSums: 0 },
};

/** The spans, cut where scores of all their rows, so many lists a row, would take more than `SCORE_BYTES`. */
export function scoredTogether(spans: readonly Span[], lists: number): readonly (readonly Span[])[] {
  const longest = longestOf(spans);
  const most = Math.max(1, Math.floor(SCORE_BYTES / (4 * longest * lists)));
  if (spans.reduce((sum, { count }) => sum + count, 0) <= most) return [spans];
  return spans.flatMap((span) =>
    Array.from({ length: Math.ceil(span.count / most) }, (_, i) => {
      const count = Math.min(most, span.count - i * most);
      return [{ ...span, start: span.start + i * most, row: span.row + i * most, count }];
    }),
  );
}

export const longestOf = (spans: readonly Span[]): number =>
  Math.max(...spans.map(({ start, count }) => start + count));

export class TokenChoice {
  readonly #memory: WasmMemory;
  readonly #room: ScratchBuffer;
  readonly #scratch = new ChoiceScratch();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#room = new ScratchBuffer(memory);
  }

  /**
   * Chooses for each list of each row. spans: rows count from the first one scored · scores: an address, values from a list to the next, and tokens that
   * a score is of · by: blocks or runs to choose by, otherwise what is scored is chosen · chosen: positions from the first row on
   */
  choose(
    spans: readonly Span[],
    {
      scores,
      stride,
      tokensPerRow,
    }: { readonly scores: number; readonly stride: number; readonly tokensPerRow: number },
    by: number | TokenBlocks | TokenRuns,
    { positions, count, lists }: ChosenAt,
  ): void {
    const { f32 } = this.#memory;
    for (const { row, start, count: rows } of spans) {
      for (let n = 0; n < rows; n++) {
        for (let list = 0; list < lists; list++) {
          const at = (row + n) * lists + list;
          const from = scores / 4 + at * stride;
          const scored = f32.subarray(from, from + Math.floor((start + n + 1) / tokensPerRow));
          const own = f32.subarray(positions / 4 + at * count, positions / 4 + (at + 1) * count);
          if (typeof by === "number") chooseBest(scored, count, own, this.#scratch);
          else if ("local" in by) chooseBlocks(scored, by, own, this.#scratch);
          else chooseRuns(scored, by, start + n + 1, own, this.#scratch);
        }
      }
    }
  }

  /** Bits of the chosen tokens of each row, as the kernels read them. */
  bitsOf(step: Step, { positions, count, lists }: ChosenAt): ChosenBits {
    // Kernels look at whole groups of keys, which may end behind the last one.
    const words = Math.ceil((longestOf(step.spans) + 4) / 32);
    const numLists = step.tokens.length * lists;
    const chosen = this.#room.ensure(numLists * words * 4);
    const { f32, u32 } = this.#memory;
    u32.fill(0, chosen / 4, chosen / 4 + numLists * words);
    for (let list = 0; list < numLists; list++) {
      for (let i = 0; i < count; i++) {
        const position = f32[positions / 4 + list * count + i]!;
        if (position < 0) break;
        const word = chosen / 4 + list * words + (position >>> 5);
        u32[word] = u32[word]! | (1 << (position & 31));
      }
    }
    return { ...ALL_CHOSEN, chosen, chosenLists: lists, chosenWords: words };
  }
}
