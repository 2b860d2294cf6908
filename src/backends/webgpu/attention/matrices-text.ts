/**
 * @file The parts of attend-matrices.wgsl that are written out without loops: matrices and values on their way have to be
 * variables of their own, because a compiler that indexes them moves them to memory.
 */
import { codecOf, isFloat, nameOf, type SideFormat } from "../../../quant/codecs/registry.ts";
import { FLOATS } from "../codec/read-text.ts";
import { wgslCodecs } from "../codec/registry.ts";
import { joinTables, type SideTables, sideTables, tablesText } from "../codec/side-tables.ts";
import type { TableUse } from "../codec/table-text.ts";
import { lines, range } from "./attend-text.ts";
import { MATRIX, type MatrixSides, stagingText } from "./matrix-staging.ts";
import { MATRIX_ROWS } from "./prefill-plan.ts";

/** Blocks of rows of a subgroup. A key in workgroup memory is read once for all of them; three would need too many registers. */
const BLOCKS = range(2);
const SUBGROUP_ROWS = BLOCKS.length * MATRIX;
/** The distance of two keys' lines of scores: the sixteen rows of four keys, which a matrix stores side by side, hit all banks. */
const SCORE_PITCH = MATRIX_ROWS + 4;
const LEFT = `subgroup_matrix_left<f16, ${MATRIX}, ${MATRIX}>`;
const RIGHT = `subgroup_matrix_right<f16, ${MATRIX}, ${MATRIX}>`;
const RESULT = `subgroup_matrix_result<f32, ${MATRIX}, ${MATRIX}>`;
const KEYS = range(MATRIX);
const BARRIER = "workgroupBarrier();";
/** The workgroup memory that a multiprocessor has under Vulkan. */
const MOST_BYTES = 48 << 10;

/** Bytes of workgroup memory without tables. */
const plainBytes = (headDim: number): number =>
  2 * (2 * MATRIX * (headDim + 8) + MATRIX_ROWS * (MATRIX + 8)) + 4 * MATRIX * SCORE_PITCH + 16;

/** Chooses tables of pairs, or of single centroids on a side where pairs would not fit into workgroup memory. */
function chooseTables({ k, v, main, residual, centroidsAt, windowCentroidsAt }: MatrixSides): {
  tables: SideTables & { readonly secondAt: number };
  half: { k: boolean; v: boolean };
} {
  const choices = [true, false].flatMap((vHalf) => [true, false].map((kHalf) => ({ k: kHalf, v: vHalf })));
  // Sides of one name share a table.
  const isShared = nameOf(k) === nameOf(v);
  // Codes of 8 bits have single centroids, the same for both sides.
  const ofWindow =
    residual && windowCentroidsAt
      ? sideTables({ k: residual.k.side, v: residual.v.side }, { k: false, v: false }, windowCentroidsAt, main)
      : { tables: [], vAt: 0, entries: 0 };
  const all = choices
    .filter((half) => !isShared || half.k === half.v)
    .map((half) => ({ half, tables: joinTables(sideTables({ k, v }, half, centroidsAt, main), ofWindow) }));
  const fits = all.find(({ tables }) => plainBytes(main.headDim) + 4 * tableWords(tables) <= MOST_BYTES);
  return fits ?? all.at(-1)!;
}

/** Words of the tables, as whole units of sixteen bytes. */
const tableWords = ({ entries }: SideTables): number => 4 * Math.max(1, Math.ceil(entries / 4));

export const matrixBytes = (sides: MatrixSides): number =>
  plainBytes(sides.main.headDim) + 4 * tableWords(chooseTables(sides).tables);

/**
 * Whether a side's numbers are f16 or become f16 without harm. Rotated blocks have scales of their own, and a rotation gathers numbers within f16's
 * range into one beyond it.
 */
export function isHalfSide(side: SideFormat): boolean {
  if (isFloat(side)) return codecOf(side).bitsOf(side) === 16;
  return wgslCodecs.of(side).isBounded || !codecOf(side).isRotated(side);
}

/** `leave` stores the sums of step `d` in workgroup memory as [coordinate][row], and `take` loads them from there. */
const leave = (d: number): string[] =>
  BLOCKS.map((b) => `subgroupMatrixStore<col_major>(&scores, row0 + ${b * MATRIX}u, sum_${b}_${d}, SCORE_PITCH);`);
const take = (d: number): string[] =>
  BLOCKS.map(
    (b) => `sum_${b}_${d} = subgroupMatrixLoad<${RESULT}, col_major>(&scores, row0 + ${b * MATRIX}u, SCORE_PITCH);`,
  );
const own = (k: number): string => `scores[${k}u * SCORE_PITCH + l]`;
/** Stores sixteen values of an invocation's row as the row's line of weights. */
const putRow = (value: (k: number) => string): string[] =>
  [0, 8].map(
    (from) =>
      `put(WEIGHTS_AT + l * WEIGHT_PITCH + ${from}u, ${range(4)
        .map((i) => `vec2<f16>(vec2f(${value(from + 2 * i)}, ${value(from + 2 * i + 1)}))`)
        .join(", ")});`,
  );
const loadWeights = (name: (b: number) => string): string[] =>
  BLOCKS.map(
    (b) =>
      `${name(b)} = subgroupMatrixLoad<${LEFT}, row_major>(&halves, WEIGHTS_AT + (row0 + ${b * MATRIX}u) * WEIGHT_PITCH, WEIGHT_PITCH);`,
  );
/** A step of the products of queries with the keys of a tile, and of weights with its values. */
const multiplyKeys = (d: number): string[] => [
  `let key_${d} = subgroupMatrixLoad<${RIGHT}, col_major>(&halves, ${d * MATRIX}u, PITCH);`,
  ...BLOCKS.map((b) =>
    d === 0
      ? `score_${b} = subgroupMatrixMultiply<f32>(q_${b}_${d}, key_${d});`
      : `score_${b} = subgroupMatrixMultiplyAccumulate(q_${b}_${d}, key_${d}, score_${b});`,
  ),
];
const multiplyValues = (d: number): string[] => [
  `let value_${d} = subgroupMatrixLoad<${RIGHT}, row_major>(&halves, VALUES_AT + ${d * MATRIX}u, PITCH);`,
  ...BLOCKS.map((b) => `sum_${b}_${d} = subgroupMatrixMultiplyAccumulate(weights_${b}, value_${d}, sum_${b}_${d});`),
];
/** Joins terms as a balanced tree, so that few operations wait for each other. */
const tree = (terms: readonly string[], join: (a: string, b: string) => string): string =>
  terms.length === 1
    ? terms[0]!
    : join(tree(terms.slice(0, terms.length >> 1), join), tree(terms.slice(terms.length >> 1), join));

/** Constants and texts for attend-matrices.wgsl. */
export function matricesText(sides: MatrixSides): {
  values: Readonly<Record<string, number>>;
  inserts: Readonly<Record<string, string>>;
} {
  const { tables, half } = chooseTables(sides);
  const use = (isHalf: boolean, tableAt: number): TableUse => ({ ...FLOATS, half: isHalf, tableAt });
  const window = sides.windowCentroidsAt ? use(false, tables.secondAt) : FLOATS;
  const staging = stagingText(sides, {
    ...{ k: use(half.k, 0), v: use(half.v, tables.vAt) },
    window: { k: window, v: window },
  });
  const steps = range(sides.main.headDim / MATRIX);
  const texts: Record<string, readonly string[]> = {
    TABLES: [tablesText(tables, 1)],
    DECLARE: [
      ...staging.declare,
      ...BLOCKS.map((b) => `var score_${b}: ${RESULT};`),
      ...BLOCKS.flatMap((b) => steps.flatMap((d) => [`var q_${b}_${d}: ${LEFT};`, `var sum_${b}_${d}: ${RESULT};`])),
    ],
    // Sixteen coordinates of a row take the place of its line of weights, because subgroups load them as they load weights.
    QUERIES: [
      // As f16 a query is at most 1, by a power of two that its scores are multiplied by: small ones would be subnormal.
      "var top = 0.0;",
      "for (var i = 0u; i < QUADS; i++) {",
      "let quad = abs(q[query + i]);",
      "top = max(top, max(max(quad.x, quad.y), max(quad.z, quad.w)));",
      "}",
      "let exponent = clamp(frexp(top).exp, -126, 126);",
      "let query_factor = ldexp(1.0, -exponent);",
      "let query_scale = ldexp(LOG2E, exponent);",
      ...steps.flatMap((d) => [
        "{",
        ...range(4).map((i) => `let q${i} = q[query + ${4 * d + i}u] * query_factor;`),
        ...putRow((i) => `q${i >> 2}.${"xyzw"[i & 3]}`),
        "}",
        BARRIER,
        ...loadWeights((b) => `q_${b}_${d}`),
        BARRIER,
      ]),
    ],
    FETCH: staging.fetch,
    KEEP: staging.keep,
    KEEP_CODES: staging.keepCodes,
    SCORES: steps.flatMap(multiplyKeys),
    LEAVE_SCORES: BLOCKS.map(
      (b) => `subgroupMatrixStore<col_major>(&scores, row0 + ${b * MATRIX}u, score_${b}, SCORE_PITCH);`,
    ),
    OWN_SCORES: KEYS.map((i) => `var s${i} = ${own(i)} * query_scale;`),
    MASK: KEYS.map(
      (i) =>
        `s${i} = select(MASKED, s${i}, is_read(tile.first + ${i}u, position, tile.is_residual, ranges.residual_start));`,
    ),
    WEIGHTS: [...KEYS.map((i) => `w${i} = exp2(s${i} - base);`), ...putRow((i) => `w${i}`)],
    RESCALE: steps.flatMap((d) => [
      ...leave(d),
      BARRIER,
      ...KEYS.map((i) => `${own(i)} *= factor;`),
      BARRIER,
      ...take(d),
      BARRIER,
    ]),
    // The next tile's scores are computed in between, because their sums wait for each other and those of values do not.
    MULTIPLY: [
      ...BLOCKS.map((b) => `var weights_${b}: ${LEFT};`),
      ...loadWeights((b) => `weights_${b}`),
      ...steps.flatMap((d) => [...multiplyValues(d), ...multiplyKeys(d)]),
    ],
    OUTPUT: steps.flatMap((d) => [
      ...leave(d),
      BARRIER,
      "if (is_there) {",
      ...range(4).map(
        (i) =>
          `parts[at * QUADS + ${4 * d + i}u] = vec4f(${range(4)
            .map((c) => own(4 * i + c))
            .join(", ")});`,
      ),
      "}",
      BARRIER,
    ]),
  };
  const own16 = KEYS.map((i) => `w${i}`);
  return {
    values: {
      ROWS: MATRIX_ROWS,
      SUBGROUP_ROWS,
      KEYS: MATRIX,
      SCORE_PITCH,
      TABLE: tableWords(tables),
    },
    inserts: {
      ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, lines(text)])),
      DECLARE_WEIGHTS: lines(own16.map((name) => `var ${name}: f32;`)),
      PEAK: `let peak = ${tree(
        KEYS.map((i) => `s${i}`),
        (a, b) => `max(${a}, ${b})`,
      )};`,
      ADDED: `sum += ${tree(own16, (a, b) => `(${a} + ${b})`)};`,
    },
  };
}
