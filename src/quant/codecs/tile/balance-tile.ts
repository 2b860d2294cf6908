/**
 * @file The two-sided scales of KVarN: factors for the rows and the columns of a matrix that bring their standard deviations near 1, found
 * by turns in the logarithm as Sinkhorn's algorithm does it. Of the states on the way, that with the least imbalance is taken.
 */

const ITERATIONS = 16;
/** Bounds of a deviation in one step, and of the logarithm of a factor. */
const [MIN_DEVIATION, MAX_DEVIATION] = [1e-3, 1e3];
const [MIN_LOG, MAX_LOG] = [-0.3, 10];
const SMALLEST = 1e-8;

export interface TileScales {
  /** [rows], [columns]: x[r][c] / (rows[r] · columns[c]) is what is quantized. */
  readonly rows: Float64Array;
  readonly columns: Float64Array;
}

/** tile: [rows][columns], at least two of both */
export function balanceTile(tile: Float32Array, numRows: number, numColumns: number): TileScales {
  const logs = { rows: new Float64Array(numRows), columns: new Float64Array(numColumns) };
  let best = scalesOf(logs);
  let least = imbalance(tile, best);
  for (let i = 0; i < ITERATIONS; i++) {
    for (const side of ["rows", "columns"] as const) {
      const own = deviations(tile, scalesOf(logs))[side];
      for (let n = 0; n < own.length; n++) {
        const step = Math.log(Math.min(MAX_DEVIATION, Math.max(MIN_DEVIATION, own[n]!)));
        logs[side][n] = Math.min(MAX_LOG, Math.max(MIN_LOG, logs[side][n]! + step));
      }
    }
    const now = scalesOf(logs);
    const own = imbalance(tile, now);
    if (own <= least) [best, least] = [now, own];
  }
  return best;
}

const scalesOf = (logs: TileScales): TileScales => ({
  rows: logs.rows.map(Math.exp),
  columns: logs.columns.map(Math.exp),
});

/** The sample standard deviations of the rows and of the columns of the scaled tile. */
function deviations(tile: Float32Array, { rows, columns }: TileScales): TileScales {
  const [numRows, numColumns] = [rows.length, columns.length];
  const of = (count: number): { sum: Float64Array; squares: Float64Array } => ({
    sum: new Float64Array(count),
    squares: new Float64Array(count),
  });
  const [byRow, byColumn] = [of(numRows), of(numColumns)];
  for (let r = 0; r < numRows; r++) {
    for (let c = 0; c < numColumns; c++) {
      const x = tile[r * numColumns + c]! / (rows[r]! * columns[c]!);
      byRow.sum[r] = byRow.sum[r]! + x;
      byRow.squares[r] = byRow.squares[r]! + x * x;
      byColumn.sum[c] = byColumn.sum[c]! + x;
      byColumn.squares[c] = byColumn.squares[c]! + x * x;
    }
  }
  const deviation = ({ sum, squares }: ReturnType<typeof of>, n: number): Float64Array =>
    sum.map((total, i) => Math.sqrt(Math.max(0, squares[i]! - (total * total) / n) / (n - 1)));
  return { rows: deviation(byRow, numColumns), columns: deviation(byColumn, numRows) };
}

/** The spread of the deviations of rows and of columns: largest over smallest, of both together. */
function imbalance(tile: Float32Array, scales: TileScales): number {
  const own = deviations(tile, scales);
  const spread = (values: Float64Array): number => Math.max(...values) / Math.max(SMALLEST, Math.min(...values));
  return spread(own.rows) + spread(own.columns);
}
