/** @file The parts of linear-rows.wgsl that depend on the number of rows, outputs and units of an invocation. */

export interface RowsShape {
  readonly rows: number;
  /** Outputs of one group of lanes. */
  readonly outputs: number;
  /** Units of eight columns that are read before the first one is used. */
  readonly unroll: number;
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export function rowsText(shape: RowsShape, subgroups: boolean): Readonly<Record<string, string>> {
  const outputs = count(shape.outputs);
  const rows = count(shape.rows);
  const cells = rows.flatMap((r) => outputs.map((o) => ({ r, o })));
  const products = (steps: readonly number[]): string =>
    [
      ...steps.flatMap((u) => outputs.map((o) => `let w${u}_${o} = weight_unit(at${o}, unit + ${u}u * LANES);`)),
      ...steps.flatMap((u) =>
        rows.flatMap((r) => [
          `let x${u}_${r} = x_unit(row${r}, unit + ${u}u * LANES);`,
          ...outputs.map(
            (o) => `sum${r}_${o} += dot(w${u}_${o}[0], x${u}_${r}[0]) + dot(w${u}_${o}[1], x${u}_${r}[1]);`,
          ),
        ]),
      ),
    ].join("\n");
  return {
    // Rows and outputs after the last one repeat it, and their sums are dropped.
    DECLARE: [
      ...rows.map((r) => `let row${r} = min(${r}u, p.rows - 1u);`),
      ...outputs.map((o) => `let at${o} = min(output0 + ${o}u, p.outputs - 1u) * p.stride;`),
      ...cells.map(({ r, o }) => `var sum${r}_${o} = 0f;`),
    ].join("\n"),
    UNROLLED: products(count(shape.unroll)),
    SINGLE: products([0]),
    FINISH: cells
      .map(({ r, o }) => {
        const sum = subgroups ? `subgroupAdd(sum${r}_${o})` : `sum_of_lanes(sum${r}_${o}, lane, l)`;
        return `finish(${sum}, lane, ${r}u, output0 + ${o}u);`;
      })
      .join("\n"),
  };
}
