/** @file Heads whose coordinates are turned by position on their own, and not as they are appended: in plain TypeScript, which defines it. */

/** Which coordinates of heads are turned. */
export interface HeadTurn {
  /** Index of the rope among those given to `beginStep`; it has a frequency for each pair of coordinates from `first` on. */
  readonly rope: number;
  readonly numHeads: number;
  readonly headDim: number;
  /** The first coordinate of a head that is turned. Pairs are neighbours: (first, first + 1), … */
  readonly first: number;
  /** Whether they are turned back. */
  readonly isBack: boolean;
  /** Tokens that a row stands for; its position is that of the first of them. Absent: 1. */
  readonly tokensPerRow?: number;
}

/** Turns the heads of one row. x: the row from `at` on · cos, sin: of the pairs, from `angle` on */
export function turnRow(
  x: Float32Array,
  at: number,
  { numHeads, headDim, first, isBack }: HeadTurn,
  cos: Float32Array,
  sin: Float32Array,
  angle: number,
  numPairs: number,
): void {
  for (let head = 0; head < numHeads; head++) {
    const from = at + head * headDim + first;
    for (let i = 0; i < numPairs; i++) {
      const [a, b] = [x[from + 2 * i]!, x[from + 2 * i + 1]!];
      const c = cos[angle + i]!;
      const s = isBack ? -sin[angle + i]! : sin[angle + i]!;
      x[from + 2 * i] = a * c - b * s;
      x[from + 2 * i + 1] = b * c + a * s;
    }
  }
}
