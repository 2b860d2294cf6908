/** @file Angles of a step's rows for each of its ropes, as the kernels read them. */
import { assert } from "../../errors.ts";
import type { AttentionLayer, HeadTurn, Rope, Span, Step } from "../ops.ts";
import { growthAt } from "../query-growth.ts";
import { ropeOfRow } from "../rope-of-row.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";

/** Addresses of the angles of a rope, and of the factors of queries, 0 where they do not grow. */
export interface Angles {
  readonly cos: number;
  readonly sin: number;
  readonly growth: number;
}

export class RopeAngles {
  readonly #memory: WasmMemory;
  readonly #room: ScratchBuffer;
  readonly #ofRows: ScratchBuffer;
  #given: readonly Rope[] = [];
  #angles: readonly Angles[] = [];

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#room = new ScratchBuffer(memory);
    this.#ofRows = new ScratchBuffer(memory);
  }

  /** Writes cos and sin of every row's angles and the factor of its query, f32 computed in f64, for each rope. */
  write(step: Step, ropes: readonly Rope[]): void {
    const rows = step.positions.length;
    const bytesOf = ({ invFreq, queryGrowth }: Rope): number => rows * (invFreq.length * 8 + (queryGrowth ? 4 : 0));
    let at = this.#room.ensure(ropes.reduce((sum, rope) => sum + bytesOf(rope), 0));
    this.#given = ropes;
    this.#angles = ropes.map((rope) => {
      const { queryGrowth } = rope;
      const { cos, sin, end } = this.#put(
        at,
        rope,
        rows,
        (row) => row,
        (row) => step.positions[row]!,
      );
      const growth = queryGrowth ? end : 0;
      at += bytesOf(rope);
      if (queryGrowth) {
        const factors = this.#memory.f32.subarray(growth / 4, growth / 4 + rows);
        step.positions.forEach((position, row) => {
          factors[row] = growthAt(queryGrowth, position);
        });
      }
      return { cos, sin, growth };
    });
  }

  of({ index, rope }: AttentionLayer): Angles {
    const angles = this.#angles[rope];
    assert(angles, `appendKv: layer ${index} asks for rope ${rope} of ${this.#angles.length}`);
    return angles;
  }

  /** Angles of stored rows that stand for several tokens each, at the positions of their first ones. stored: as `rowSpans` gives them of the spans */
  ofStored(
    { rope: index, tokensPerRow = 1 }: Pick<AttentionLayer, "rope" | "tokensPerRow">,
    spans: readonly Span[],
    stored: readonly Span[],
    rows: number,
  ): Angles {
    const rope = this.#given[index]!;
    const [positions, lastRows] = [new Int32Array(rows), new Int32Array(rows)];
    for (const [i, { row, start, count }] of stored.entries()) {
      for (let n = 0; n < count; n++) {
        positions[row + n] = (start + n) * tokensPerRow;
        lastRows[row + n] = spans[i]!.row + (start + n + 1) * tokensPerRow - 1 - spans[i]!.start;
      }
    }
    const at = this.#ofRows.ensure(Math.max(8, rows * rope.invFreq.length * 8));
    const { cos, sin } = this.#put(
      at,
      rope,
      rows,
      (row) => lastRows[row]!,
      (row) => positions[row]!,
    );
    return { cos, sin, growth: 0 };
  }

  /** The same as `ofStored` for turns of their own, and pairs of a row. */
  ofTurn(
    turn: HeadTurn,
    spans: readonly Span[],
    stored: readonly Span[],
    rows: number,
  ): Angles & { readonly numPairs: number } {
    const rope = this.#given[turn.rope];
    assert(rope, `turnHeads: asks for rope ${turn.rope} of ${this.#given.length}`);
    const numPairs = rope.invFreq.length;
    return { ...(turn.tokensPerRow ? this.ofStored(turn, spans, stored, rows) : this.#angles[turn.rope]!), numPairs };
  }

  /** Writes the angles of rows from an address on. returns: where they are, and the first byte behind them */
  #put(
    cos: number,
    rope: Rope,
    rows: number,
    ropeRow: (row: number) => number,
    positionOf: (row: number) => number,
  ): { readonly cos: number; readonly sin: number; readonly end: number } {
    const half = rope.invFreq.length;
    const sin = cos + rows * half * 4;
    const cosines = this.#memory.f32.subarray(cos / 4, cos / 4 + rows * half);
    const sines = this.#memory.f32.subarray(sin / 4, sin / 4 + rows * half);
    for (let row = 0; row < rows; row++) {
      const { invFreq, attentionFactor } = ropeOfRow(rope, ropeRow(row));
      const position = positionOf(row);
      for (let i = 0; i < half; i++) {
        const angle = position * invFreq[i]!;
        const factor = invFreq[i] === 0 ? 1 : attentionFactor;
        cosines[row * half + i] = Math.cos(angle) * factor;
        sines[row * half + i] = Math.sin(angle) * factor;
      }
    }
    return { cos, sin, end: sin + rows * half * 4 };
  }
}
