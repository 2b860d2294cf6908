/**
 * @file The unrolled parts of attend-decode.wgsl. Registers are named one by one: indexed arrays may end up in memory.
 *
 * Codes are multiplied in f16 where the device has it: queries and weights are brought to at most 1 before, every few
 * products go to an f32 sum. 16-bit copies and raw floats may be anywhere in their range and are multiplied in f32.
 */
import { PAGE_TOKENS, type PageLayout, type Region, type SideLayout } from "../../quant/page-layout.ts";
import { type Loaded, loadUnits, rowAt, type TableUse } from "./code-words.ts";
import { floatText } from "./store-text.ts";

/** How one workgroup is laid out. */
export interface DecodeShape {
  readonly headDim: number;
  /** Query heads of a KV head. */
  readonly group: number;
  readonly threads: number;
  /** Invocations that score keys together; also the keys each of them multiplies with. 1, 2 or 4. */
  readonly lanes: 1 | 2 | 4;
  /** Keys that are summed side by side. */
  readonly keyGroups: number;
  readonly subgroups: boolean;
  /** K's codes, and V's, are multiplied in f16. */
  readonly halfK: boolean;
  readonly halfV: boolean;
}

export interface DecodeSides {
  readonly main: PageLayout;
  readonly exact: PageLayout | null;
  readonly k: TableUse;
  readonly v: TableUse;
}

/** Stream that a piece of text reads: the pages of codes, or those of 16-bit copies. */
type Stream = "codes" | "copies";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (texts: readonly string[]): string => texts.join("\n");
const ARRAYS = {
  codes: { words: "pages", quads: "pages4" },
  copies: { words: "exact4", quads: "exact4" },
} as const;
const FLOATS: TableUse = { half: false, tableAt: 0, copies: 1, copy: "" };
/** A sum of a few f16 products of weights up to this and centroids stays far from 65504. */
const WEIGHT_SUM = 8192;

/** Type of one word for each head, and its parts. */
function wordsType(group: number): string {
  if (group === 1) return "u32";
  if (group === 2 || group === 4) return `vec${group}u`;
  return group === 8 ? "array<vec4u, 2>" : `array<u32, ${group}>`;
}
function wordOf(name: string, g: number, group: number): string {
  if (group === 1) return name;
  if (group === 2 || group === 4) return `${name}.${"xyzw"[g]}`;
  return group === 8 ? `${name}[${g >> 2}].${"xyzw"[g & 3]}` : `${name}[${g}]`;
}
function wordsText(group: number, word: (g: number) => string): string {
  const all = range(group).map(word);
  if (group === 1) return all[0]!;
  if (group !== 8) return `${wordsType(group)}(${all.join(", ")})`;
  return `array<vec4u, 2>(vec4u(${all.slice(0, 4).join(", ")}), vec4u(${all.slice(4).join(", ")}))`;
}

export const typesText = (shape: DecodeShape): string => `alias WORDS = ${wordsType(shape.group)};`;

/** f16 at an even byte offset. */
const halfAt = (region: Region, page: string, row: string, extra = ""): string => {
  const at = `(${rowAt(region, page, "kv_head", row)}${extra})`;
  return `unpack2x16float(pages[${at} >> 2u] >> ((${at} & 2u) * 8u)).x`;
};

const isBlocks = (side: SideLayout): boolean => side.type === "q8_0" || side.type === "q4_0r";

/** Factor of a row; 1 where it is in the blocks or there is none. */
function rowScale(side: SideLayout, headDim: number, page: string, row: string): string {
  return side.type.startsWith("tq")
    ? `${halfAt(side.scales!, page, row)} * ${floatText(1 / Math.sqrt(headDim))}`
    : "1.0";
}

/** Page and row of key `key` as new variables. */
function placeText(stream: Stream, name: string, key: string): string {
  if (stream === "codes") {
    return lines([
      `let page${name} = (step[main_table + ${key} / 64u] & SLOT_MASK) * PAGE_BYTES;`,
      `let row${name} = ${key} % 64u;`,
    ]);
  }
  return lines([
    `let at${name} = ${key} + select(0u, gap, ${key} >= sink_end);`,
    `let page${name} = (step[exact_table + at${name} / EXACT_TOKENS] & SLOT_MASK) * EXACT_BYTES;`,
    `let row${name} = at${name} % EXACT_TOKENS;`,
  ]);
}

export function accumulatorsText({ group }: DecodeShape): string {
  return lines(
    range(group).flatMap((g) => [
      `var highest${g} = MASKED;`,
      `var sum${g} = 0.0;`,
      ...range(4).map((i) => `var acc${g}_${i} = vec2f();`),
    ]),
  );
}

/** Fills `lut`: an invocation writes the copies of its entries in an order in which neighbours hit other banks. */
export function tablesText(
  tables: readonly { readonly at: number; readonly entries: number; readonly word: string }[],
) {
  return (copies: number): string =>
    lines([
      `let copy = l & ${copies - 1}u;`,
      ...tables.map(
        ({ at, entries, word }) => `for (var e = l; e < ${entries}u; e += THREADS) {
    let word = ${word};
    for (var c = 0u; c < ${copies}u; c++) {
      lut[(${at}u + e) * ${copies}u + ((c + l) & ${copies - 1}u)] = word;
    }
  }`,
      ),
    ]);
}

/** The query as f16, at most 1, and what it was divided by. */
export function queryText({ group }: DecodeShape): string {
  return `for (var round = 0u; round < GROUP; round += NUM_SUBGROUPS) {
    let g = min(round + l / SUBGROUP, GROUP - 1u);
    var top = 0.0;
    for (var i = l % SUBGROUP; i < PAIRS; i += SUBGROUP) {
      let pair = abs(query[(first_head + g) * PAIRS + i]);
      top = max(top, max(pair.x, pair.y));
    }
    top = subgroupMax(top);
    if (l % SUBGROUP == 0u) {
      query_scale[g] = top;
    }
  }
  workgroupBarrier();
  ${lines(range(group).map((g) => `let query_scale${g} = query_scale[${g}];\n  let factor${g} = select(1.0 / query_scale${g}, 0.0, query_scale${g} == 0.0);`))}
  for (var i = l; i < PAIRS; i += THREADS) {
    half_query[i] = ${wordsText(group, (g) => `bitcast<u32>(vec2<f16>(query[(first_head + ${g}u) * PAIRS + i] * factor${g}))`)};
  }`;
}

/** Scores of the keys of a pass: `score0` … of the key that the invocation owns, and V's factor of its row. */
export function scoresText(shape: DecodeShape, sides: DecodeSides): string {
  const { threads, lanes, group } = shape;
  return lines([
    `let own = lane * ${threads / lanes}u + l / LANES;`,
    "let is_read = base + own >= low && base + own < high;",
    "let own_key = min(base + own, high - 1u);",
    "var value_scale = 1.0;",
    ...range(group).map((g) => `var score${g} = 0.0;`),
    either(sides, (stream) => streamScores(shape, sides, stream)),
  ]);
}

/** The text of both streams, or of the only one. */
function either(sides: DecodeSides, text: (stream: Stream) => string): string {
  return sides.exact ? `if (is_exact) {\n${text("copies")}\n} else {\n${text("codes")}\n}` : `{\n${text("codes")}\n}`;
}

function streamScores(shape: DecodeShape, { main, exact, k }: DecodeSides, stream: Stream): string {
  const { headDim, group, threads, lanes } = shape;
  const side = stream === "codes" ? main.k : exact!.k;
  const half = stream === "codes" && shape.halfK;
  const use = stream === "codes" ? k : FLOATS;
  const chunk = headDim / 8 / lanes;
  const block = chunk % 4 === 0 ? 4 : 1;
  const keys = range(lanes);
  const loaded: Loaded[] = keys.map((n) =>
    loadUnits(
      side,
      use,
      { page: `page${n}`, head: "kv_head", row: `row${n}`, unit: "unit0" },
      block,
      `k${n}_`,
      ARRAYS[stream],
    ),
  );
  const products = range(block).flatMap((u) => [
    ...(isBlocks(side)
      ? keys.map(
          (n) => `let block${u}_${n} = ${halfAt(side.scales!, `page${n}`, `row${n}`, ` + (unit0 + ${u}u) / 4u * 2u`)};`,
        )
      : []),
    ...range(4).flatMap((pair) => {
      const at = `(unit0 + ${u}u) * 4u + ${pair}u`;
      const name = `${u}_${pair}`;
      return [
        ...(half
          ? [`let q${name} = half_query[${at}];`]
          : range(group).map((g) => `let q${name}_${g} = query[(first_head + ${g}u) * PAIRS + ${at}];`)),
        ...keys.map(
          (n) => `let c${name}_${n} = ${loaded[n]!.units[u]![pair]}${isBlocks(side) ? ` * block${u}_${n}` : ""};`,
        ),
        ...keys.flatMap((n) =>
          range(group).map((g) => {
            const q = half ? `bitcast<vec2<f16>>(${wordOf(`q${name}`, g, group)})` : `q${name}_${g}`;
            return `dot${n}_${g} = fma(c${name}_${n}, ${q}, dot${n}_${g});`;
          }),
        ),
      ];
    }),
  ]);
  return lines([
    ...keys.flatMap((n) => [
      `let key${n} = min(base + ${(n * threads) / lanes}u + l / LANES, high - 1u);`,
      placeText(stream, String(n), `key${n}`),
      ...range(group).map((g) => `var dot${n}_${g} = ${half ? "vec2<f16>" : "vec2f"}();`),
    ]),
    `for (var block = 0u; block < ${chunk / block}u; block++) {`,
    `let unit0 = lane * ${chunk}u + block * ${block}u;`,
    ...loaded.flatMap(({ lines }) => lines),
    ...products,
    "}",
    ...keys.flatMap((n) => range(group).map((g) => `let part${n}_${g} = f32(dot${n}_${g}.x) + f32(dot${n}_${g}.y);`)),
    ...gatherText(lanes, group),
    ...ownFactors(shape, main, stream, half),
  ]);
}

/** Adds the parts of `lanes` invocations up so that each is left with the key it owns: `score…`. */
function gatherText(lanes: number, group: number): string[] {
  const swap = (to: string, a: string, b: string, bit: number): string =>
    `let ${to} = select(${a}, ${b}, (l & ${bit}u) != 0u) + subgroupShuffleXor(select(${b}, ${a}, (l & ${bit}u) != 0u), ${bit}u);`;
  return range(group).flatMap((g) => {
    if (lanes === 1) return [`score${g} = part0_${g};`];
    if (lanes === 2) return [swap(`both${g}`, `part0_${g}`, `part1_${g}`, 1), `score${g} = both${g};`];
    return [
      swap(`low${g}`, `part0_${g}`, `part1_${g}`, 1),
      swap(`high${g}`, `part2_${g}`, `part3_${g}`, 1),
      swap(`all${g}`, `low${g}`, `high${g}`, 2),
      `score${g} = all${g};`,
    ];
  });
}

function ownFactors({ headDim, group }: DecodeShape, main: PageLayout, stream: Stream, half: boolean): string[] {
  if (stream === "copies") return [];
  const k = rowScale(main.k, headDim, "own_page", "own_row");
  const v = rowScale(main.v, headDim, "own_page", "own_row");
  if (k === "1.0" && v === "1.0") return [];
  return [
    "let own_page = (step[main_table + own_key / 64u] & SLOT_MASK) * PAGE_BYTES;",
    "let own_row = own_key % 64u;",
    `let key_scale = ${k};`,
    `value_scale = ${v};`,
    ...range(group).map((g) => `score${g} *= key_scale${half ? ` * query_scale${g}` : ""};`),
  ];
}

/** Scores to weights, relative to the highest score so far; what was summed before shrinks. */
export function softmaxText(shape: DecodeShape, sides: DecodeSides): string {
  const { group, threads, keyGroups, subgroups, halfV } = shape;
  const heads = range(group);
  const weight = WEIGHT_SUM / (threads / keyGroups);
  const factor = (g: number): string => `weight${g} * value_scale`;
  const coded = halfV
    ? lines([
        `let peak = highest(GROUP);`,
        `unscale = peak * ${floatText(1 / weight)};`,
        `let part = select(value_scale / peak * ${floatText(weight)}, 0.0, peak == 0.0);`,
        `weights[own] = ${wordsText(group, (g) => `bitcast<u32>(vec2<f16>(f16(weight${g} * part)))`)};`,
      ])
    : `weights[own] = ${wordsText(group, (g) => `bitcast<u32>(${factor(g)})`)};`;
  const copies = `weights[own] = ${wordsText(group, (g) => `bitcast<u32>(weight${g})`)};`;
  return lines([
    ...heads.map((g) => `score${g} = select(MASKED, score${g}, is_read);`),
    ...(subgroups
      ? [
          ...heads.map((g) => `highest_of(score${g}, ${g}u, l);`),
          ...(halfV ? ["highest_of(select(0.0, abs(value_scale), is_read), GROUP, l);", "var unscale = 0.0;"] : []),
          "workgroupBarrier();",
          ...heads.map((g) => `let top${g} = max(highest${g}, highest(${g}u));`),
        ]
      : heads.map((g) => `let top${g} = max(highest${g}, highest_at_once(score${g}, l));`)),
    ...heads.flatMap((g) => [
      `let shrink${g} = exp(highest${g} - top${g});`,
      `highest${g} = top${g};`,
      `let weight${g} = select(0.0, exp(score${g} - top${g}), is_read);`,
      `sum${g} = sum${g} * shrink${g} + weight${g};`,
      ...range(4).map((i) => `acc${g}_${i} *= shrink${g};`),
    ]),
    halfV || sides.exact ? either(sides, (stream) => (stream === "codes" ? coded : copies)) : coded,
  ]);
}

export function weightedSumText(shape: DecodeShape, sides: DecodeSides): string {
  return either(sides, (stream) => (stream === "codes" ? codesSum(shape, sides) : copiesSum(shape, sides)));
}

function codesSum(shape: DecodeShape, { main, v }: DecodeSides): string {
  const { group, keyGroups, halfV } = shape;
  const keys = range(PAGE_TOKENS / keyGroups);
  const loaded = keys.map((n) =>
    loadUnits(main.v, v, { page: "page", head: "kv_head", row: `row${n}`, unit: "unit" }, 1, `v${n}_`, ARRAYS.codes),
  );
  const sum = (g: number, i: number): string => (halfV ? `half${g}_${i}` : `acc${g}_${i}`);
  return lines([
    ...(halfV ? range(group).flatMap((g) => range(4).map((i) => `var half${g}_${i} = vec2<f16>();`)) : []),
    "for (var at = 0u; at < THREADS; at += 64u) {",
    "if (base + at < high) {",
    "let page = (step[main_table + (base + at) / 64u] & SLOT_MASK) * PAGE_BYTES;",
    "let last = high - 1u - base - at;",
    ...keys.flatMap((n) => [
      `let row${n} = min(key_group + ${n * keyGroups}u, min(last, 63u));`,
      ...loaded[n]!.lines,
      ...(isBlocks(main.v)
        ? [`let block${n} = ${halfAt(main.v.scales!, "page", `row${n}`, " + unit / 4u * 2u")};`]
        : []),
    ]),
    ...keys.flatMap((n) => [
      `let weight${n} = weights[at + key_group + ${n * keyGroups}u];`,
      ...range(4).map((i) => `let v${n}_${i}_ = ${loaded[n]!.units[0]![i]}${isBlocks(main.v) ? ` * block${n}` : ""};`),
      ...range(group).flatMap((g) => {
        const word = wordOf(`weight${n}`, g, group);
        const factor = halfV ? `bitcast<vec2<f16>>(${word})` : `vec2f(bitcast<f32>(${word}))`;
        return range(4).map((i) => `${sum(g, i)} = fma(v${n}_${i}_, ${factor}, ${sum(g, i)});`);
      }),
    ]),
    "}",
    "}",
    ...(halfV
      ? range(group).flatMap((g) => range(4).map((i) => `acc${g}_${i} += vec2f(half${g}_${i}) * unscale;`))
      : []),
  ]);
}

function copiesSum({ group, keyGroups }: DecodeShape, { exact }: DecodeSides): string {
  const place = { page: "page_v", head: "kv_head", row: "row_v", unit: "unit" };
  const { lines: loads, units } = loadUnits(exact!.v, FLOATS, place, 1, "v_", ARRAYS.copies);
  return lines([
    `for (var n = key_group; n < min(THREADS, high - base); n += ${keyGroups}u) {`,
    "let key = base + n;",
    placeText("copies", "_v", "key"),
    ...loads,
    "let weight = weights[n];",
    ...range(4).map((i) => `let value${i} = ${units[0]![i]};`),
    ...range(group).flatMap((g) =>
      range(4).map(
        (i) => `acc${g}_${i} = fma(value${i}, vec2f(bitcast<f32>(${wordOf("weight", g, group)})), acc${g}_${i});`,
      ),
    ),
    "}",
  ]);
}

/** Adds up over the keys of the workgroup and leaves sums, maxima and weights. */
export function outputText({ group, subgroups }: DecodeShape): string {
  const total = (g: number): string =>
    subgroups
      ? `{
    let total = subgroupAdd(sum${g});
    if (l % SUBGROUP == 0u) {
      tops[${g}u * NUM_SUBGROUPS + l / SUBGROUP] = total;
    }
  }`
      : `{
    let total = total_at_once(sum${g}, l);
    if (l == 0u) {
      stats[((first_head + ${g}u) * total_splits + split) * 2u + 1u] = total;
    }
  }`;
  return lines([
    ...range(group).flatMap((g) => [
      "if (l < SUM_THREADS) {",
      ...range(8).map((i) => `lut[${i}u * SUM_THREADS + l] = bitcast<u32>(acc${g}_${i >> 1}.${"xy"[i & 1]});`),
      "}",
      "workgroupBarrier();",
      `add_up((first_head + ${g}u) * total_splits + split, l);`,
      "workgroupBarrier();",
    ]),
    ...range(group).map(total),
    "if (l == 0u) {",
    ...range(group).map((g) => `stats[((first_head + ${g}u) * total_splits + split) * 2u] = highest${g};`),
    "}",
    ...(subgroups
      ? [
          "workgroupBarrier();",
          "if (l < GROUP) {",
          "var total = 0.0;",
          "for (var i = 0u; i < NUM_SUBGROUPS; i++) { total += tops[l * NUM_SUBGROUPS + i]; }",
          "stats[((first_head + l) * total_splits + split) * 2u + 1u] = total;",
          "}",
        ]
      : []),
  ]);
}
