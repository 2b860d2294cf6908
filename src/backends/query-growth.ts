/** @file Queries that grow with their position, so that attention over many more keys stays as sharp (Llama 4, Ministral 3). */

/** The query at position p is multiplied by 1 + beta · ln(1 + ⌊(p + offset) / length⌋). */
export interface QueryGrowth {
  readonly beta: number;
  /** A whole number of tokens. */
  readonly length: number;
  /** 0 or 1. */
  readonly offset: number;
}

export function growthAt({ beta, length, offset }: QueryGrowth, position: number): number {
  return 1 + beta * Math.log(1 + Math.floor((position + offset) / length));
}
