/** @file Matrices that one product computes side by side although their formats differ, such as q|k in q4 and v in q8. */
import { assert } from "../errors.ts";
import type { Weight, WeightType } from "./ops.ts";

/** Rows of a stack that are one matrix of the backend. */
export interface WeightRun {
  readonly weight: Weight;
  /** Its first row in the stack. */
  readonly first: number;
}

/** Only `Ops.linear` takes it: out[r] is the outputs of its runs, one after the other. */
export class StackedWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  /** Of the first run. */
  readonly type: WeightType;
  readonly numBytes: number;
  readonly runs: readonly WeightRun[];

  /** weights: at least two matrices of as many columns, from the first row on */
  constructor(weights: readonly Weight[]) {
    const [head] = weights;
    assert(head && weights.every(({ cols }) => cols === head.cols), "a stack of matrices with other columns");
    let rows = 0;
    this.runs = weights.map((weight) => {
      const run = { weight, first: rows };
      rows += weight.rows;
      return run;
    });
    this.rows = rows;
    this.cols = head.cols;
    this.type = head.type;
    this.numBytes = weights.reduce((sum, { numBytes }) => sum + numBytes, 0);
  }
}
