/**
 * @file How attention on matrix units gets keys and values to workgroup memory: what an invocation loads of a tile, and how it
 * stores that as f16 a turn later.
 */
import { isFloat, nameOf, type SideFormat } from "../../../quant/codecs/registry.ts";
import type { PageLayout, SideLayout } from "../../../quant/page-layout.ts";
import { loadUnits, rowScale } from "../codec/read-text.ts";
import { wgslCodecs } from "../codec/registry.ts";
import type { TableUse } from "../codec/table-text.ts";
import { ARRAYS, range, type Stream } from "./attend-text.ts";
import { MATRIX_ROWS } from "./prefill-plan.ts";

/** Keys of a tile, coordinates of a step, rows of a block: those of a matrix. */
export const MATRIX = 16;
export interface MatrixSides {
  readonly k: SideFormat;
  readonly v: SideFormat;
  readonly main: PageLayout;
  readonly residual: PageLayout | null;
  /** Where the centroids of each side begin. */
  readonly centroidsAt: { readonly k: number; readonly v: number };
  /** The same of sinks and window of 8 bits; absent: they have 16. */
  readonly windowCentroidsAt?: { readonly k: number; readonly v: number } | undefined;
}

/** How one stream of a side gets from memory to workgroup memory: loads into variables, then stores from `at` on. */
interface Carried {
  readonly types: readonly string[];
  readonly fetch: readonly string[];
  readonly keep: readonly string[];
}

/** Sets of variables from here on are of copies. */
const COPIES = 100;

/** Variables of one type are named alike on both sides: an invocation carries one of the two. */
const variableName = (set: number, type: string, index: number): string => `carried${set}_${type}_${index}`;

/** count: units of eight coordinates, 1 or 4, at `page`, `kv_head`, `row`, `unit` */
function carriedText(
  side: SideLayout,
  use: TableUse,
  stream: Stream,
  headDim: number,
  count: 1 | 4,
  set: number,
  pages = { codes: "page", scales: "page" },
): Carried {
  const arrays = ARRAYS[stream];
  const place = { page: pages.codes, head: "kv_head", row: "row", unit: "unit" };
  const loaded = loadUnits(side, use, place, count, "w", arrays);
  const scale = rowScale(side, headDim, { ...place, page: pages.scales }, arrays.words);
  const types: string[] = [];
  const variable = (type: string): string => {
    types.push(type);
    return variableName(set, type, types.filter((other) => other === type).length - 1);
  };
  const renamed = new Map<string, string>();
  const fetch = loaded.lines.map((line) => {
    const [, name, value] = /^let (\w+) = (.*);$/s.exec(line)!;
    // A word of an array of quads has a second index.
    const isQuad = value!.startsWith(`${arrays.quads}[`) && !value!.includes("][");
    if (!isQuad && !value!.includes(`${arrays.words}[`)) return line;
    renamed.set(name!, variable(isQuad ? "vec4u" : "u32"));
    return `${renamed.get(name!)} = ${value};`;
  });
  // Carried as the word that it lies in: whoever computes with it waits for it.
  const factor = (value: string): string =>
    value.replace(/\b\w+\[[^\]]*\](\[[^\]]*\])?/, (word) => {
      const name = variable("u32");
      fetch.push(`${name} = ${word};`);
      return name;
    });
  const rowFactor = scale === null ? null : factor(scale);
  const factors = loaded.blocks.map((block) => (block === null ? rowFactor : factor(block)));
  const isCommon = rowFactor !== null;
  const pair = (u: number, text: string): string => {
    const known = text.replace(/\bw\d+_\w+/g, (name) => renamed.get(name) ?? name);
    // Halves as they are, without a way through f32.
    if (isFloat(side.side)) return known.replace(/^unpack2x16float\(/, "bitcast<vec2<f16>>(");
    // The largest number of a block may be rounded to one that is beyond f16.
    if (!isCommon) return `vec2<f16>(clamp(${known} * (${factors[u]}), vec2f(-MAX_HALF), vec2f(MAX_HALF)))`;
    // Rounded once: a factor of f16 would move all scores of a key alike.
    return `vec2<f16>(${use.half ? `vec2f(${known})` : known} * factor)`;
  };
  return {
    types,
    fetch,
    keep: [
      ...(rowFactor === null ? [] : [`let factor = ${rowFactor};`]),
      ...loaded.units.map((pairs, u) => `put(at + ${8 * u}u, ${pairs.map((text) => pair(u, text)).join(", ")});`),
    ],
  };
}

export interface Staging {
  readonly declare: readonly string[];
  readonly fetch: readonly string[];
  readonly keep: readonly string[];
  /** Where both tiles are of codes. */
  readonly keepCodes: readonly string[];
}

const locals = (types: readonly string[], set: number): string[] =>
  types.map(
    (type, i) => `var ${variableName(set, type, types.slice(0, i).filter((t) => t === type).length)}: ${type};`,
  );

/** Stores codes that were carried, or loads and stores copies. isCopy: condition; codePlace: where the code's row is */
const keepText = (isCopy: string, copies: Carried | null, codes: Carried, codePlace: readonly string[], set: number) =>
  copies === null
    ? [...codePlace, ...codes.keep]
    : [
        `if (${isCopy}) {`,
        ...locals(copies.types, set),
        "let entry = step[ranges.residual_table + j / RESIDUAL_TOKENS];",
        "let page = (entry & SLOT_MASK) * RESIDUAL_BYTES;",
        "let row = j % RESIDUAL_TOKENS;",
        "if (j <= ranges.last && j / RESIDUAL_TOKENS < ranges.residual_entries && entry != 0u) {",
        ...copies.fetch,
        "}",
        ...copies.keep,
        "} else {",
        ...codePlace,
        ...codes.keep,
        "}",
      ];

/** How the tables of codes are read, and those of sinks and window; `FLOATS` where these have 16 bits. */
interface Uses {
  readonly k: TableUse;
  readonly v: TableUse;
  readonly window: { readonly k: TableUse; readonly v: TableUse };
}

/** Rows of 8 bits have no codes beside them, so there may be no page of codes where a tile of theirs is. */
const onlyCodes = (
  windowAt: MatrixSides["windowCentroidsAt"],
  isCopy: string,
  text: readonly string[],
): readonly string[] => (windowAt ? [`if (!${isCopy}) {`, ...text, "}"] : text);

/** Where both sides are read alike: invocations differ in nothing but addresses. */
function commonText(
  { main, residual, windowCentroidsAt }: MatrixSides,
  use: Uses,
  count: 1 | 4,
  items: number,
  set: number,
): Staging {
  const { headDim } = main;
  const between = (from: number, to: number): string => `(page + select(0u, ${to - from}u, is_value))`;
  const pagesOf = ({ k, v }: PageLayout) => ({
    codes: between(k.planes[0]!.offset, v.planes[0]!.offset),
    scales: k.scales[0] && v.scales[0] ? between(k.scales[0].offset, v.scales[0].offset) : "page",
  });
  const codes = carriedText(main.k, use.k, "codes", headDim, count, set, pagesOf(main));
  const copies =
    residual && carriedText(residual.k, use.window.k, "copies", headDim, count, set + COPIES, pagesOf(residual));
  const place = [
    `let is_value = number${set} >= ${items}u;`,
    `let number = select(number${set}, number${set} - ${items}u, is_value);`,
    "let key = number % KEYS;",
    `let unit = number / KEYS * ${count}u;`,
    "let j = select(of_k.first, of_v.first, is_value) + key;",
  ];
  const codePlace = [
    "let page = (select(of_k.entry, of_v.entry, is_value) & SLOT_MASK) * PAGE_BYTES;",
    "let row = min(j, ranges.last) % PAGE_TOKENS;",
  ];
  const keepAt = ["let at = select(0u, VALUES_AT, is_value) + key * PITCH + unit * 8u;"];
  const guard = (text: readonly string[]): string[] =>
    (set + 1) * MATRIX_ROWS <= 2 * items ? ["{", ...text, "}"] : [`if (number${set} < ${2 * items}u) {`, ...text, "}"];
  return {
    declare: [`let number${set} = l + ${set * MATRIX_ROWS}u;`, ...locals(codes.types, set)],
    fetch: guard([
      ...place,
      ...onlyCodes(windowCentroidsAt, "select(of_k.is_residual, of_v.is_residual, is_value)", [
        ...codePlace,
        ...codes.fetch,
      ]),
    ]),
    keepCodes: guard([...place, ...keepAt, ...codePlace, ...codes.keep]),
    keep: guard([
      ...place,
      ...keepAt,
      ...keepText("select(of_k.is_residual, of_v.is_residual, is_value)", copies, codes, codePlace, set + COPIES),
    ]),
  };
}

/**
 * Both sides of a tile: codes of `of_k` and `of_v` are loaded a turn before they are stored. Rows of sinks and window, of which there are
 * few tiles, are loaded when they are stored: they would take registers in every turn.
 */
export function stagingText(sides: MatrixSides, use: Uses): Staging {
  const { main, residual, windowCentroidsAt } = sides;
  const { headDim } = main;
  const count = headDim % 32 === 0 ? 4 : 1;
  const items = (MATRIX * headDim) / 8 / count;
  const isAlike = nameOf(sides.k) === nameOf(sides.v) && !wgslCodecs.of(sides.k).blockFactor;
  const sets = range(Math.ceil((2 * items) / MATRIX_ROWS)).map((set) => {
    if (isAlike) return commonText(sides, use, count, items, set);
    const both = (["k", "v"] as const).map((which) => {
      const codes = carriedText(main[which], use[which], "codes", headDim, count, set);
      const copies =
        residual && carriedText(residual[which], use.window[which], "copies", headDim, count, set + COPIES);
      const place = [
        `let number = number${set}${which === "k" ? "" : ` - ${items}u`};`,
        "let key = number % KEYS;",
        `let unit = number / KEYS * ${count}u;`,
        `let j = of_${which}.first + key;`,
      ];
      const keepAt = [`let at = ${which === "k" ? "" : "VALUES_AT + "}key * PITCH + unit * 8u;`];
      const codePlace = [`let page = page_of(of_${which});`, "let row = min(j, ranges.last) % PAGE_TOKENS;"];
      return {
        types: codes.types,
        fetch: [...place, ...onlyCodes(windowCentroidsAt, `of_${which}.is_residual`, [...codePlace, ...codes.fetch])],
        keepCodes: [...place, ...keepAt, ...codePlace, ...codes.keep],
        keep: [...place, ...keepAt, ...keepText(`of_${which}.is_residual`, copies, codes, codePlace, set + COPIES)],
      };
    });
    const either = (text: (side: (typeof both)[number]) => readonly string[]): string[] => [
      `if (number${set} < ${items}u) {`,
      ...text(both[0]!),
      `} else if (number${set} < ${2 * items}u) {`,
      ...text(both[1]!),
      "}",
    ];
    const most = new Map<string, number>();
    for (const { types } of both) {
      for (const type of types) {
        most.set(type, Math.max(most.get(type) ?? 0, types.filter((other) => other === type).length));
      }
    }
    return {
      declare: [
        `let number${set} = l + ${set * MATRIX_ROWS}u;`,
        ...[...most].flatMap(([type, number]) =>
          range(number).map((i) => `var ${variableName(set, type, i)}: ${type};`),
        ),
      ],
      fetch: either(({ fetch }) => fetch),
      keep: either(({ keep }) => keep),
      keepCodes: either(({ keepCodes }) => keepCodes),
    };
  });
  return {
    declare: sets.flatMap(({ declare }) => declare),
    fetch: sets.flatMap(({ fetch }) => fetch),
    keep: sets.flatMap(({ keep }) => keep),
    keepCodes: sets.flatMap(({ keepCodes }) => keepCodes),
  };
}
