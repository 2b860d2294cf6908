/**
 * @file The parts of linear-batch.wgsl that are written out without loops. Matrices have to be individual variables, because
 * compilers put indexed ones into memory.
 */
import { PANEL } from "./panel-text.ts";

export interface BatchShape {
  /** Rows, a multiple of sixteen. */
  readonly rows: number;
  /** Outputs of a workgroup, a multiple of sixteen. */
  readonly outputs: number;
  /** Subgroups of a workgroup, which divide the columns among themselves. */
  readonly subgroups: number;
  /** Panels of sixteen columns that a subgroup reads in a turn. */
  readonly unroll: number;
}

/** Values between the starts of two lines in workgroup memory. */
const pitchOf = ({ unroll }: BatchShape): number => unroll * PANEL + 8;

export function batchValues(shape: BatchShape): Readonly<Record<string, number>> {
  return {
    TILE_OUTPUTS: shape.outputs,
    SUBGROUPS: shape.subgroups,
    THREADS: shape.subgroups * 32,
    UNROLL: shape.unroll,
    LINES: shape.rows,
    PITCH: pitchOf(shape),
    TURN_UNITS: shape.unroll * 2,
  };
}

/** Bytes of workgroup memory. staged: whether weights are unpacked there, because they are not f16 */
export function batchBytes(shape: BatchShape, staged: boolean): number {
  return shape.subgroups * (1024 + (staged ? shape.outputs * pitchOf(shape) * 2 : 0));
}

const LEFT = "subgroup_matrix_left<f16, 16, 16>";
const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
const RESULT = "subgroup_matrix_result<f32, 16, 16>";
const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** halves: whether the weight is f16, so that matrices are read from it without unpacking */
export function batchText(shape: BatchShape, halves: boolean): Readonly<Record<string, string>> {
  const down = count(shape.rows / PANEL);
  const across = count(shape.outputs / PANEL);
  const steps = count(shape.unroll);
  const cells = down.flatMap((r) => across.map((c) => ({ r, c })));
  const units = count((shape.outputs * shape.unroll * 2) / 32);
  const stage = [
    "workgroupBarrier();",
    ...units.map((i) => `keep(subgroup, out0, lane + ${i * 32}u, panel);`),
    "workgroupBarrier();",
  ];
  const right = (c: number, u: number): string =>
    halves
      ? // A column of a right matrix is the line of an output. Outputs and columns that are not there repeat others.
        `subgroupMatrixLoad<${RIGHT}, col_major>(&words, line_${c} + min(panel + ${u}u, last) * ${PANEL}u, p.stride * 8u)`
      : `subgroupMatrixLoad<${RIGHT}, col_major>(&tiles, (subgroup * TILE_OUTPUTS + ${c * PANEL}u) * PITCH + ${u * PANEL}u, PITCH)`;
  const left = (r: number, u: number): string =>
    `subgroupMatrixLoad<${LEFT}, row_major>(&x, ((panel + ${u}u) * LINES + ${r * PANEL}u) * ${PANEL}u, ${PANEL}u)`;
  return {
    DECLARE: [
      ...(halves
        ? [
            `let last = (p.cols + ${PANEL - 1}u) / ${PANEL}u - 1u;`,
            ...across.map((c) => `let line_${c} = min(out0 + ${c * PANEL}u, p.outputs - ${PANEL}u) * p.stride * 8u;`),
          ]
        : []),
      ...cells.map(({ r, c }) => `var sum_${r}_${c}: ${RESULT};`),
    ].join("\n"),
    TURN: [
      ...(halves ? [] : stage),
      ...steps.flatMap((u) => across.map((c) => `let right_${c}_${u} = ${right(c, u)};`)),
      ...steps.flatMap((u) => [
        ...down.map((r) => `let left_${r}_${u} = ${left(r, u)};`),
        ...cells.map(
          ({ r, c }) =>
            `sum_${r}_${c} = subgroupMatrixMultiplyAccumulate(left_${r}_${u}, right_${c}_${u}, sum_${r}_${c});`,
        ),
      ]),
    ].join("\n"),
    FINISH: cells
      .flatMap(({ r, c }) => [
        "workgroupBarrier();",
        `subgroupMatrixStore<row_major>(&sums, subgroup * 256u, sum_${r}_${c}, ${PANEL}u);`,
        "workgroupBarrier();",
        // Matrices that repeat outputs count as beyond the last output here, so nothing is written twice.
        `write_sums(l, ${r * PANEL}u, out0 + ${c * PANEL}u);`,
      ])
      .join("\n"),
  };
}
