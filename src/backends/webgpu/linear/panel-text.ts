/**
 * @file The parts of linear-panels.wgsl that are written out without loops. Matrices and staged values have to be individual
 * variables, because compilers put indexed ones into memory.
 */

/** Columns in a panel: those of one matrix, so that a step is one multiplication deep. */
export const PANEL = 16;
/** Rows and outputs of a workgroup, and of one of its four subgroups. */
export const TILE = 128;
const PART = 64;
const THREADS = 128;
/** Values between the starts of two lines in workgroup memory. */
const PITCH = 24;
/** Values of one panel of both sides. */
const SIDE = 2 * TILE * PITCH;
/** Bytes of two such panels. Two workgroups share the 48 KiB that a multiprocessor has for Vulkan. */
export const PANEL_BYTES = SIDE * 4;
export const PANEL_THREADS = THREADS;

export const panelValues = { TILE, PART, THREADS, PITCH, SIDE } as const;

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const BLOCKS = count(PART / PANEL);
const CELLS = BLOCKS.flatMap((r) => BLOCKS.map((c) => ({ r, c })));
/** Number of 16-byte pieces of one side's panel that an invocation loads. */
const UNITS = count((TILE * 2) / THREADS);
const LEFT = "subgroup_matrix_left<f16, 16, 16>";
const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
const RESULT = "subgroup_matrix_result<f32, 16, 16>";

/** Loads the next panel from memory into registers. */
const fetch = [
  ...UNITS.map((i) => `x${i} = x[x_at + ${i * THREADS}u];`),
  ...UNITS.map((i) => `w${i} = w[w_at + ${i * THREADS}u];`),
  "x_at += p.x_lines * 2u;",
  "w_at += p.w_lines * 2u;",
];

/** Stores a loaded panel from registers into one half of workgroup memory. */
const keep = (side: number): string[] =>
  ["x", "w"].flatMap((name, s) =>
    UNITS.map((i) => `keep_halves(${side + s * TILE * PITCH + ((i * THREADS) / 2) * PITCH}u + keep_at, ${name}${i});`),
  );

/** Loads the matrices of a half into one of two sets of registers. A column of a right matrix is the line of an output. */
const lift = (set: string, side: number): string[] =>
  BLOCKS.flatMap((i) => {
    const at = `${side + i * PANEL * PITCH}u`;
    return [
      `left_${set}${i} = subgroupMatrixLoad<${LEFT}, row_major>(&tiles, ${at} + left_at, PITCH);`,
      `right_${set}${i} = subgroupMatrixLoad<${RIGHT}, col_major>(&tiles, ${at} + right_at, PITCH);`,
    ];
  });

const multiply = (set: string): string[] =>
  CELLS.map(
    ({ r, c }) => `sum_${r}_${c} = subgroupMatrixMultiplyAccumulate(left_${set}${r}, right_${set}${c}, sum_${r}_${c});`,
  );

/** Applies `act` to each block of sums, with `direct` only to those within the rows and outputs, since `out` has no others. */
const blocks = (act: (sum: string, at: string) => string, direct: boolean): string[] =>
  CELLS.map(({ r, c }) => {
    const line = act(`sum_${r}_${c}`, `out_at + ${r * PANEL}u * PITCH_OUT + ${c * PANEL}u`);
    const isThere = `row0 + part_row + ${r * PANEL}u < p.rows && out0 + part_out + ${c * PANEL}u < p.outputs`;
    return direct ? `if (${isThere}) { ${line} }` : line;
  });

const BARRIER = "workgroupBarrier();";

/** direct: whether sums go to the rows of `out` and not to a buffer of whole tiles */
export function panelText(direct: boolean): Readonly<Record<string, string>> {
  const lines = {
    DECLARE: [
      ...UNITS.flatMap((i) => [`var x${i}: vec4u;`, `var w${i}: vec4u;`]),
      ...["a", "b"].flatMap((set) =>
        BLOCKS.flatMap((i) => [`var left_${set}${i}: ${LEFT};`, `var right_${set}${i}: ${RIGHT};`]),
      ),
      ...CELLS.map(({ r, c }) => `var sum_${r}_${c}: ${RESULT};`),
    ],
    START: blocks((sum, at) => `${sum} = subgroupMatrixLoad<${RESULT}, row_major>(&out, ${at}, PITCH_OUT);`, direct),
    PROLOGUE: [...[...fetch, ...keep(0), BARRIER], ...[...fetch, ...keep(SIDE), ...lift("a", 0), BARRIER]],
    // Two steps: set a holds a panel, the second half of workgroup memory the next one, and the first half is free.
    STEPS: [
      ...[...fetch, ...lift("b", SIDE), ...multiply("a"), ...keep(0), BARRIER],
      ...[...fetch, ...lift("a", 0), ...multiply("b"), ...keep(SIDE), BARRIER],
    ],
    EPILOGUE: [...lift("b", SIDE), ...multiply("a"), ...multiply("b")],
    FINISH: blocks((sum, at) => `subgroupMatrixStore<row_major>(&out, ${at}, ${sum}, PITCH_OUT);`, direct),
  };
  return Object.fromEntries(Object.entries(lines).map(([name, text]) => [name, text.join("\n")]));
}
