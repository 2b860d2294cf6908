/**
 * @file Orders of rows that blocks compute with, where checkpoints have others: rope turns the halves of a head, so rows of q
 * and k that belong to other pairs are put into places that make halves of them. q · k is the same in any order.
 */

/** Rows of a tensor, brought to other places as they are loaded. A vector is a column. */
export interface RowOrder {
  /** Rows of a unit stay together: `place` takes [n · unit, (n + 1) · unit) to such a range. */
  readonly unit: number;
  /** Where a row goes, a permutation of the rows that are kept; −1 for the rows of a unit that is left out. */
  place(row: number): number;
  /** Number of rows that are kept; absent: all. A vector may have more than are stored: those that nothing goes to are zeros. */
  readonly numRows?: number;
}

export interface HeadOrder {
  readonly headDim: number;
  /** Coordinates that rope turns, the first ones of a head. */
  readonly rotaryDim: number;
  /** Whether pairs are neighbours; otherwise the halves of these coordinates. */
  readonly isInterleaved: boolean;
}

const isPlain = ({ headDim, rotaryDim, isInterleaved }: HeadOrder): boolean => rotaryDim === headDim && !isInterleaved;

/** Place of each coordinate of a head: pair i becomes (i, i + headDim / 2); those that are not turned fill what is left. */
function placesOf({ headDim, rotaryDim, isInterleaved }: HeadOrder): Uint32Array {
  const [half, turned] = [headDim / 2, rotaryDim / 2];
  return Uint32Array.from({ length: headDim }, (_, i) => {
    if (i >= rotaryDim) {
      const rest = i - rotaryDim;
      return rest < half - turned ? turned + rest : half + turned + (rest - (half - turned));
    }
    return isInterleaved ? (i >> 1) + (i & 1) * half : (i % turned) + (i < turned ? 0 : half);
  });
}

/** For rows of which the first `numHeads` heads are q or k; null when they stay where they are. */
export function headOrder(heads: HeadOrder, numHeads: number): RowOrder | null {
  if (isPlain(heads)) return null;
  const { headDim } = heads;
  const places = placesOf(heads);
  return {
    unit: headDim,
    place: (row) => (row < numHeads * headDim ? row - (row % headDim) + places[row % headDim]! : row),
  };
}

/**
 * For q, k and v KV head by KV head, each with its queries first: the rows of q of all heads come first, then those of k, then those
 * of v.
 */
export function splitHeads(heads: HeadOrder, numHeads: number, numKvHeads: number): RowOrder {
  const { headDim } = heads;
  const group = numHeads / numKvHeads;
  const places = placesOf(heads);
  return {
    unit: headDim,
    place: (row) => {
      const [part, within] = [Math.floor(row / headDim), row % headDim];
      const [kvHead, which] = [Math.floor(part / (group + 2)), part % (group + 2)];
      if (which < group) return (kvHead * group + which) * headDim + places[within]!;
      const isKey = which === group;
      return (numHeads + (isKey ? 0 : numKvHeads) + kvHead) * headDim + (isKey ? places[within]! : within);
    },
  };
}

/** For tensors whose rows are two parts head by head: the rows of one part, with those of q in the places that rope needs. */
export function halfOfHeads(heads: HeadOrder, numHeads: number, which: "q" | "gate"): RowOrder {
  const { headDim } = heads;
  const places = which === "q" ? placesOf(heads) : null;
  return {
    unit: headDim,
    numRows: numHeads * headDim,
    place: (row) => {
      const [part, within] = [Math.floor(row / headDim), row % headDim];
      if (part % 2 !== (which === "q" ? 0 : 1)) return -1;
      return (part >> 1) * headDim + (places ? places[within]! : within);
    },
  };
}

/** For a vector with a part for each head: the part of one of them, in the places that rope needs. */
export function oneOfHeads(heads: HeadOrder, head: number): RowOrder {
  const { headDim } = heads;
  const places = placesOf(heads);
  return {
    unit: headDim,
    numRows: headDim,
    place: (row) => (Math.floor(row / headDim) === head ? places[row % headDim]! : -1),
  };
}

/**
 * For rows that are several parts group by group: the first part of all groups comes first, then the second, and so on. sizes: rows
 * of each part in one group
 */
export function splitGroups(numGroups: number, sizes: readonly number[]): RowOrder {
  const groupRows = sizes.reduce((sum, size) => sum + size, 0);
  return {
    unit: sizes.reduce(greatestCommonDivisor),
    place: (row) => {
      const group = Math.floor(row / groupRows);
      let within = row % groupRows;
      let first = 0;
      for (const size of sizes) {
        if (within < size) return first + group * size + within;
        within -= size;
        first += numGroups * size;
      }
      return row;
    },
  };
}

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));
