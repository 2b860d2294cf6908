/**
 * @file The parts of linear-matrix.wgsl that depend on the tile, written out without loops. Matrices and staged values have to
 * be individual variables, because compilers put indexed ones into memory.
 */

/** The tile that a workgroup computes, and the part of it that a subgroup of 32 computes. */
export interface MatrixTile {
  readonly rows: number;
  readonly outputs: number;
  readonly partRows: number;
  readonly partOutputs: number;
}

/** Columns in workgroup memory at once, and their units of eight. */
const STEP = 32;
const STEP_UNITS = STEP / 8;
const SIZE = 16;
/** Values between the starts of two lines in workgroup memory. */
const PITCH = 40;

export function tileThreads({ rows, outputs, partRows, partOutputs }: MatrixTile): number {
  return ((rows * outputs) / (partRows * partOutputs)) * 32;
}

/** Bytes of workgroup memory: two halves of f16 lines, and 16 × 16 f32 for each subgroup. */
export function tileBytes(tile: MatrixTile): number {
  return (tile.rows + tile.outputs) * PITCH * 4 + tileThreads(tile) * 32;
}

export function matrixValues(tile: MatrixTile): Readonly<Record<string, number>> {
  return {
    TILE_ROWS: tile.rows,
    TILE_OUTPUTS: tile.outputs,
    PART_ROWS: tile.partRows,
    PART_OUTPUTS: tile.partOutputs,
    SUBGROUPS_WIDE: tile.outputs / tile.partOutputs,
    THREADS: tileThreads(tile),
  };
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** views: whether the tiles are views of untyped memory, which are pointers already */
export function matrixText(tile: MatrixTile, views: boolean): Readonly<Record<string, string>> {
  const threads = tileThreads(tile);
  const sides = [
    { name: "x", first: "row0", at: "side", units: count((tile.rows * STEP_UNITS) / threads) },
    { name: "w", first: "out0", at: "side + OUTPUTS_AT", units: count((tile.outputs * STEP_UNITS) / threads) },
  ];
  const each = (line: (side: (typeof sides)[number], i: number) => string): string[] =>
    sides.flatMap((side) => side.units.map((i) => line(side, i)));
  const unit = (i: number): string => `l + ${i * threads}u`;
  const down = count(tile.partRows / SIZE);
  const across = count(tile.partOutputs / SIZE);
  const cells = down.flatMap((r) => across.map((c) => ({ r, c })));
  const from = views ? "tiles" : "&tiles";
  const declare = [
    ...each(({ name }, i) => `var ${name}${i}: vec4u;`),
    ...cells.map(({ r, c }) => `var sum_${r}_${c}: subgroup_matrix_result<f32, 16, 16>;`),
  ];
  const multiply = count(STEP / SIZE).flatMap((step) => [
    "{",
    ...down.map(
      (r) =>
        `let left_${r} = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(${from}, side + (part_row + ${r * SIZE}u) * PITCH + ${step * SIZE}u, PITCH);`,
    ),
    // A column of the right matrix is the line of an output.
    ...across.map(
      (c) =>
        `let right_${c} = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(${from}, side + OUTPUTS_AT + (part_out + ${c * SIZE}u) * PITCH + ${step * SIZE}u, PITCH);`,
    ),
    ...cells.map(
      ({ r, c }) => `sum_${r}_${c} = subgroupMatrixMultiplyAccumulate(left_${r}, right_${c}, sum_${r}_${c});`,
    ),
    "}",
  ]);
  const finish = cells.flatMap(({ r, c }) => [
    "workgroupBarrier();",
    `subgroupMatrixStore<row_major>(&results, results_at, sum_${r}_${c}, 16u);`,
    "workgroupBarrier();",
    `write_results(lane, results_at, row0 + part_row + ${r * SIZE}u, out0 + part_out + ${c * SIZE}u);`,
  ]);
  return {
    DECLARE: declare.join("\n"),
    FETCH: each(({ name, first }, i) => `${name}${i} = ${name}_words(${first}, ${unit(i)}, k);`).join("\n"),
    KEEP: each(({ name, at }, i) => `keep(${at}, ${unit(i)}, ${name}${i});`).join("\n"),
    MULTIPLY: multiply.join("\n"),
    FINISH: finish.join("\n"),
  };
}
