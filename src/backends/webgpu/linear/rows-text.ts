/** @file The parts of linear-rows.wgsl that depend on the number of rows, outputs and units of an invocation. */

export interface RowsShape {
  readonly rows: number;
  /** Outputs of one group of lanes. */
  readonly outputs: number;
  /** Units of eight columns that are read before the first one is used. */
  readonly unroll: number;
  /** Whether x is replaced by its RMS norm; see linear-rows.wgsl. */
  readonly normed?: boolean;
  /** Whether rows `i` and `outputs / 2 + i` of the weight make one value. A group of lanes then has one output. */
  readonly gated?: boolean;
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export function rowsText(shape: RowsShape, subgroups: boolean): Readonly<Record<string, string>> {
  const { normed = false, gated = false } = shape;
  const outputs = count(gated ? 2 : shape.outputs);
  const rows = count(shape.rows);
  const cells = rows.flatMap((r) => outputs.map((o) => ({ r, o })));
  const products = (steps: readonly number[]): string =>
    [
      ...steps.flatMap((u) => outputs.map((o) => `let w${u}_${o} = weight_unit(at${o}, unit + ${u}u * LANES);`)),
      ...(normed ? steps.map((u) => `let norm${u} = norm_unit(unit + ${u}u * LANES);`) : []),
      ...steps.flatMap((u) =>
        rows.flatMap((r) => [
          ...(normed
            ? [
                `let plain${u}_${r} = x_unit(row${r}, unit + ${u}u * LANES);`,
                `squares${r} += dot(plain${u}_${r}[0], plain${u}_${r}[0]) + dot(plain${u}_${r}[1], plain${u}_${r}[1]);`,
                `let x${u}_${r} = array<vec4f, 2>(plain${u}_${r}[0] * norm${u}[0], plain${u}_${r}[1] * norm${u}[1]);`,
              ]
            : [`let x${u}_${r} = x_unit(row${r}, unit + ${u}u * LANES);`]),
          ...outputs.map(
            (o) => `sum${r}_${o} += dot(w${u}_${o}[0], x${u}_${r}[0]) + dot(w${u}_${o}[1], x${u}_${r}[1]);`,
          ),
        ]),
      ),
    ].join("\n");
  const sumOf = (name: string): string => (subgroups ? `subgroupAdd(${name})` : `sum_of_lanes(${name}, lane, l)`);
  const total = ({ r, o }: { r: number; o: number }): string =>
    `${normed ? `inverse${r} * ` : ""}${sumOf(`sum${r}_${o}`)}`;
  return {
    // Rows and outputs after the last one repeat it, and their sums are dropped.
    DECLARE: [
      ...rows.map((r) => `let row${r} = min(${r}u, p.rows - 1u);`),
      ...(gated
        ? ["let at0 = min(output0, p.outputs / 2u - 1u) * p.stride;", "let at1 = at0 + p.outputs / 2u * p.stride;"]
        : outputs.map((o) => `let at${o} = min(output0 + ${o}u, p.outputs - 1u) * p.stride;`)),
      ...(normed ? rows.map((r) => `var squares${r} = 0f;`) : []),
      ...cells.map(({ r, o }) => `var sum${r}_${o} = 0f;`),
    ].join("\n"),
    UNROLLED: products(count(shape.unroll)),
    SINGLE: products([0]),
    FINISH: [
      ...(normed
        ? rows.map((r) => `let inverse${r} = 1.0 / sqrt(${sumOf(`squares${r}`)} / f32(p.cols) + p.eps);`)
        : []),
      ...(gated
        ? rows.map((r) => `finish_pair(${total({ r, o: 0 })}, ${total({ r, o: 1 })}, lane, ${r}u, output0);`)
        : cells.map((cell) => `finish(${total(cell)}, lane, ${cell.r}u, output0 + ${cell.o}u);`)),
    ].join("\n"),
  };
}
