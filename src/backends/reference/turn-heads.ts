/** @file Turns heads by the positions of a step's rows, or of the rows that end in it. */
import { type HeadTurn, turnRow } from "../head-turn.ts";
import type { Rope, Step } from "../ops.ts";
import { ropeOfRow } from "../rope-of-row.ts";
import { rowSpans } from "../row-spans.ts";

/** See `Ops.turnHeads`. */
export function turnHeads(step: Step, rope: Rope, x: Float32Array, turn: HeadTurn): void {
  const { numHeads, headDim, tokensPerRow = 1 } = turn;
  for (const [i, stored] of rowSpans(step.spans, tokensPerRow).entries()) {
    const { start, row: firstRow } = step.spans[i]!;
    for (let n = 0; n < stored.count; n++) {
      const place = stored.start + n;
      const { invFreq, attentionFactor } = ropeOfRow(rope, firstRow + (place + 1) * tokensPerRow - 1 - start);
      const position = place * tokensPerRow;
      const [cos, sin] = [Math.cos, Math.sin].map((of) =>
        Float32Array.from(invFreq, (frequency) => of(position * frequency) * (frequency === 0 ? 1 : attentionFactor)),
      );
      turnRow(x, (stored.row + n) * numHeads * headDim, turn, cos!, sin!, 0, invFreq.length);
    }
  }
}
