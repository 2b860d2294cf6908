/** @file Angles of a step's rows for each of its ropes, as the kernels read them. */
import { assert } from "../../errors.ts";
import type { AttentionLayer, Rope, Step } from "../ops.ts";
import { growthAt } from "../query-growth.ts";
import { ropeOfRow } from "../rope-of-row.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";

/** Addresses of the angles of a rope, and of the factors of queries, 0 where they do not grow. */
interface Angles {
  readonly cos: number;
  readonly sin: number;
  readonly growth: number;
}

export class RopeAngles {
  readonly #memory: WasmMemory;
  readonly #room: ScratchBuffer;
  #ropes: readonly Angles[] = [];

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#room = new ScratchBuffer(memory);
  }

  /** Writes cos and sin of every row's angles and the factor of its query, f32 computed in f64, for each rope. */
  write(step: Step, ropes: readonly Rope[]): void {
    const rows = step.positions.length;
    const bytesOf = ({ invFreq, queryGrowth }: Rope): number => rows * (invFreq.length * 8 + (queryGrowth ? 4 : 0));
    let at = this.#room.ensure(ropes.reduce((sum, rope) => sum + bytesOf(rope), 0));
    this.#ropes = ropes.map((rope) => {
      const { queryGrowth } = rope;
      const half = rope.invFreq.length;
      const [cos, sin] = [at, at + rows * half * 4];
      const growth = queryGrowth ? at + rows * half * 8 : 0;
      at += bytesOf(rope);
      const cosines = this.#memory.f32.subarray(cos / 4, cos / 4 + rows * half);
      const sines = this.#memory.f32.subarray(sin / 4, sin / 4 + rows * half);
      step.positions.forEach((position, row) => {
        const { invFreq, attentionFactor } = ropeOfRow(rope, row);
        for (let i = 0; i < half; i++) {
          const angle = position * invFreq[i]!;
          const factor = invFreq[i] === 0 ? 1 : attentionFactor;
          cosines[row * half + i] = Math.cos(angle) * factor;
          sines[row * half + i] = Math.sin(angle) * factor;
        }
      });
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
    const angles = this.#ropes[rope];
    assert(angles, `appendKv: layer ${index} asks for rope ${rope} of ${this.#ropes.length}`);
    return angles;
  }
}
