/**
 * @file The unrolled parts of attend-prefill.wgsl. Registers are named one by one, because indexed arrays may end up in memory.
 *
 * An invocation computes the scores of four rows with `keys / 16` keys, and the sums of `band` rows for `quads / lanes` quads of
 * coordinates.
 */
import type { SideFormat } from "../../../quant/kv-format.ts";
import type { PageLayout, SideLayout } from "../../../quant/page-layout.ts";
import type { PageArrays } from "../codec/place-text.ts";
import { FLOATS, loadUnits, rowScale } from "../codec/read-text.ts";
import { joinTables, sideTables, tablesText } from "../codec/side-tables.ts";
import type { TableUse } from "../codec/table-text.ts";
import { ARRAYS, lines, range } from "./attend-text.ts";

/** How the sums of a value's coordinates are spread over a workgroup of `4 · rows` invocations. */
export interface SumShape {
  /** Invocations side by side along the coordinates. */
  readonly lanes: number;
  /** Rows of an invocation. */
  readonly band: number;
  /** Quads of coordinates of an invocation. */
  readonly columns: number;
}

export function sumShape(valueDim: number): SumShape {
  const quads = valueDim / 4;
  const lanes = quads <= 16 ? 16 : 32;
  return { lanes, band: lanes / 4, columns: Math.ceil(quads / lanes) };
}

/** Dot products of four queries with the keys of an invocation, masked and left in `scores`. */
export function scoresText(keys: number): string {
  const columns = range(Math.max(1, keys / 16));
  const rows = range(4);
  const products = lines([
    "// Four rows are multiplied with the keys of this invocation.",
    ...columns.flatMap((c) => rows.map((r) => `var s${r}_${c} = vec4f();`)),
    "for (var i = 0u; i < QUADS; i++) {",
    ...rows.map((r) => `  let q${r} = q[query[${r}] + i];`),
    ...columns.map((c) => `  let k${c} = kv[(key_lane + ${16 * c}u) * PITCH + i];`),
    ...columns.flatMap((c) => rows.map((r) => `  s${r}_${c} += q${r} * k${c};`)),
    "}",
    ...columns.flatMap((c) => [
      `scores[(key_lane + ${16 * c}u) * SCORE_PITCH + row4 / 4u] = vec4f(`,
      ...rows.map((r) => `  score_of(s${r}_${c}, tile, key_lane + ${16 * c}u, position[${r}], residual_start),`),
      ");",
    ]),
  ]);
  return keys < 16 ? `if (key_lane < KEYS) {\n${products}\n}` : products;
}

const weightAt = (r: number): string => `w${r >> 2}.${"xyzw"[r & 3]}`;

const sums = (shape: SumShape): { r: number; c: number; name: string }[] =>
  range(shape.columns).flatMap((c) => range(shape.band).map((r) => ({ r, c, name: `o${r}_${c}` })));

export function accumulatorsText(shape: SumShape): string {
  return lines([
    ...range(shape.columns).map((c) => `let column${c} = min(lane + ${c * shape.lanes}u, VALUE_QUADS - 1u);`),
    ...sums(shape).map(({ name }) => `var ${name} = vec4f();`),
  ]);
}

export function weightedSumText(shape: SumShape): string {
  const quads = range(shape.band / 4);
  return lines([
    "// What was summed before shrinks to the new highest scores, then the tile is added.",
    "{",
    ...quads.map((i) => `  let w${i} = rescale[band + ${i}u];`),
    ...sums(shape).map(({ r, name }) => `  ${name} *= ${weightAt(r)};`),
    "}",
    "for (var k = 0u; k < KEYS; k++) {",
    ...quads.map((i) => `  let w${i} = scores[k * SCORE_PITCH + band + ${i}u];`),
    ...range(shape.columns).map((c) => `  let v${c} = kv[k * PITCH + column${c}];`),
    ...sums(shape).map(({ r, c, name }) => `  ${name} += ${weightAt(r)} * v${c};`),
    "}",
  ]);
}

export function outputText(shape: SumShape): string {
  return lines(
    range(shape.band).flatMap((r) => [
      "{",
      `  let own = band * 4u + ${r}u;`,
      "  let n = first + own / GROUP;",
      "  if (own < POSITIONS * GROUP && n < p.count) {",
      "    let at = ((n * NUM_HEADS + first_head + own % GROUP) * p.all_parts + p.first_part + group.z) * VALUE_QUADS;",
      ...range(shape.columns).map(
        (c) =>
          `    if (lane + ${c * shape.lanes}u < VALUE_QUADS) { parts[at + lane + ${c * shape.lanes}u] = o${r}_${c}; }`,
      ),
      "  }",
      "}",
    ]),
  );
}

/**
 * Functions that read one side of one stream: `NAME_unit(page, head, row, unit)`, eight neighbouring coordinates as four pairs,
 * and `NAME_factor(page, head, row, unit)`, which they have to be multiplied by.
 */
function readerText(name: string, side: SideLayout, use: TableUse, arrays: PageArrays, headDim: number): string {
  const place = { page: "page", head: "head", row: "row", unit: "unit" };
  const { lines: loads, units, blocks } = loadUnits(side, use, place, 1, "w", arrays);
  const factor = rowScale(side, headDim, place, arrays.words) ?? blocks[0] ?? "1.0";
  return `
// The first function returns eight neighbouring coordinates of a row as four pairs, the second what they have to be multiplied by.
fn ${name}_unit(page: u32, head: u32, row: u32, unit: u32) -> array<vec2f, 4> {
${lines(loads)}
return array<vec2f, 4>(
${units[0]!.join(",\n")},
);
}
fn ${name}_factor(page: u32, head: u32, row: u32, unit: u32) -> f32 {
return ${factor};
}`;
}

/** Readers of both sides of both streams, with the tables they share. */
export interface PrefillReaders {
  readonly text: string;
  /** Statements that fill `lut`. */
  readonly tables: string;
  /** Words of `lut`; at least one. */
  readonly entries: number;
}

/** centroidsAt, windowAt: where the centroids of each side begin, and those of sinks and window of 8 bits */
export function prefillReaders(
  k: SideFormat,
  v: SideFormat,
  main: PageLayout,
  residual: PageLayout | null,
  centroidsAt: { readonly k: number; readonly v: number },
  windowAt?: { readonly k: number; readonly v: number },
): PrefillReaders {
  const { headDim, valueDim, rotaryKey } = main;
  const codes = sideTables({ k, v }, { k: false, v: false }, centroidsAt, main);
  const ofWindow =
    residual && windowAt
      ? sideTables({ k: residual.k.side, v: residual.v.side }, { k: false, v: false }, windowAt, main)
      : null;
  const tables = ofWindow ? joinTables(codes, ofWindow) : { ...codes, secondAt: 0 };
  const { secondAt } = tables;
  return {
    text: lines([
      readerText("k", main.k, FLOATS, ARRAYS.codes, headDim),
      readerText("v", main.v, { ...FLOATS, tableAt: tables.vAt }, ARRAYS.codes, valueDim),
      ...(residual
        ? [
            readerText("xk", residual.k, { ...FLOATS, tableAt: secondAt }, ARRAYS.copies, headDim),
            readerText(
              "xv",
              residual.v,
              { ...FLOATS, tableAt: secondAt + (ofWindow?.vAt ?? 0) },
              ARRAYS.copies,
              valueDim,
            ),
          ]
        : []),
      ...(rotaryKey ? [readerText("r", rotaryKey, FLOATS, ARRAYS.codes, rotaryKey.dim)] : []),
      ...(rotaryKey && residual?.rotaryKey
        ? [readerText("xr", residual.rotaryKey, FLOATS, ARRAYS.copies, rotaryKey.dim)]
        : []),
    ]),
    tables: lines([tablesText(tables, 1), "workgroupBarrier();"]),
    entries: Math.max(1, tables.entries),
  };
}

/**
 * `stage_k` and `stage_v` leave a tile's rows as floats in `kv`; keys that are not there become zero. `stage_r` adds the rotary parts
 * behind keys.
 */
export function stagingText(hasResidual: boolean, hasRotary: boolean): string {
  const unit = (name: string): string =>
    lines([`values = ${name}_unit(page, head, slot, unit);`, `factor = ${name}_factor(page, head, slot, unit);`]);
  const copies = (side: string): string => `if (tile.is_residual) {
      let entry = step[ranges.residual_table + j / RESIDUAL_TOKENS];
      if (j / RESIDUAL_TOKENS < ranges.residual_entries && entry != 0u) {
        let page = (entry & SLOT_MASK) * RESIDUAL_BYTES;
        let slot = j % RESIDUAL_TOKENS;
        ${unit(`x${side}`)}
      }
    } else `;
  const stage = (side: string, units: string, first = "0u"): string => `
// Leaves a tile's rows as floats in kv; keys that are not there become zero.
fn stage_${side}(tile: Tile, ranges: Ranges, head: u32, l: u32) {
  for (var n = l; n < KEYS * ${units}; n += THREADS) {
    let key = n / ${units};
    let unit = n % ${units};
    let j = tile.first + key;
    var values: array<vec2f, 4>;
    var factor = 0.0;
    ${hasResidual ? copies(side) : ""}if (j <= ranges.last) {
      let page = page_of(tile);
      let slot = j % PAGE_TOKENS;
      ${unit(side)}
    }
    let at = key * PITCH + (${first} + unit) * 2u;
    kv[at] = vec4f(values[0], values[1]) * factor;
    kv[at + 1u] = vec4f(values[2], values[3]) * factor;
  }
}`;
  return stage("k", "UNITS") + stage("v", "VALUE_UNITS") + (hasRotary ? stage("r", "ROTARY_UNITS", "UNITS") : "");
}
