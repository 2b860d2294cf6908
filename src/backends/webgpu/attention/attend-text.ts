/**
 * @file WGSL that both kernels of decode attention are put together from: where a key lies, its scale, dot products of a few
 * keys with all query heads, tables of centroids. Registers are named one by one: indexed arrays may end up in memory.
 */
import type { PageLayout } from "../../../quant/page-layout.ts";
import { FLOATS, loadUnits } from "../codec/read-text.ts";
import type { TableUse } from "../codec/table-text.ts";

export interface DecodeSides {
  readonly main: PageLayout;
  readonly residual: PageLayout | null;
  readonly k: TableUse;
  readonly v: TableUse;
}

/** Stream that a piece of text reads: the pages of codes, or those of 16-bit copies. */
export type Stream = "codes" | "copies";

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const lines = (texts: readonly string[]): string => texts.join("\n");
export const ARRAYS = {
  codes: { words: "pages", quads: "pages4" },
  copies: { words: "residual4", quads: "residual4" },
} as const;

/** The text of both streams, or of the only one. */
export function either(sides: DecodeSides, text: (stream: Stream) => string): string {
  const codes = `// From codes.\n${text("codes")}`;
  return sides.residual
    ? `if (is_residual) {\n// From 16-bit copies.\n${text("copies")}\n} else {\n${codes}\n}`
    : `{\n${codes}\n}`;
}

/** Page and row of key `key` as new variables. */
export function placeText(stream: Stream, name: string, key: string): string {
  if (stream === "codes") {
    return lines([
      `let page${name} = (step[main_table + ${key} / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;`,
      `let row${name} = ${key} % PAGE_TOKENS;`,
    ]);
  }
  return lines([
    `let at${name} = ${key} + select(0u, gap, ${key} >= sink_end);`,
    `let page${name} = (step[residual_table + at${name} / RESIDUAL_TOKENS] & SLOT_MASK) * RESIDUAL_BYTES;`,
    `let row${name} = at${name} % RESIDUAL_TOKENS;`,
  ]);
}

export interface Products {
  readonly headDim: number;
  /** Query heads of a KV head. */
  readonly group: number;
  /** Expressions of the keys that are multiplied at once. */
  readonly keys: readonly string[];
  /** Invocations that share a key, and the own number among them. */
  readonly lanes: number;
  readonly lane: string;
  /** Products of codes in f16; the query is then in `half_query`, its heads two to a word pair. */
  readonly half: boolean;
}

/** Dot products of K with every query head over the invocation's share of the coordinates: `part<key>_<head>`. */
export function productsText(p: Products, sides: DecodeSides, stream: Stream): string {
  const side = stream === "codes" ? sides.main.k : sides.residual!.k;
  const half = stream === "codes" && p.half;
  const use = stream === "codes" ? sides.k : FLOATS;
  const chunk = p.headDim / 8 / p.lanes;
  // Whole quads of units are read 16 bytes at a time.
  const block = chunk % 4 === 0 ? 4 : 1;
  const keys = range(p.keys.length);
  const heads = range(p.group);
  const blocks = chunk / block;
  const keyText = lines(
    keys.flatMap((n) => [
      `let key${n} = min(${p.keys[n]}, high - 1u);`,
      placeText(stream, String(n), `key${n}`),
      ...heads.map((g) => `var dot${n}_${g} = ${half ? "vec2<f16>" : "vec2f"}();`),
    ]),
  );
  const partText = lines(
    keys.flatMap((n) => heads.map((g) => `let part${n}_${g} = f32(dot${n}_${g}.x) + f32(dot${n}_${g}.y);`)),
  );
  const loaded = keys.map((n) =>
    loadUnits(
      side,
      use,
      { page: `page${n}`, head: "kv_head", row: `row${n}`, unit: "unit0" },
      block,
      `k${n}_`,
      ARRAYS[stream],
    ),
  );
  const products = range(block).flatMap((u) => {
    const scales = loaded.map(({ blocks }) => blocks[u]);
    return [
      ...scales.flatMap((scale, n) => (scale ? [`let block${u}_${n} = ${scale};`] : [])),
      ...range(4).flatMap((pair) => {
        const at = `(unit0 + ${u}u) * 4u + ${pair}u`;
        const name = `${u}_${pair}`;
        return [
          ...(half
            ? [`let q${name} = half_query[${at}];`]
            : heads.map((g) => `let q${name}_${g} = query[(first_head + ${g}u) * PAIRS + ${at}];`)),
          ...keys.map(
            (n) => `let c${name}_${n} = ${loaded[n]!.units[u]![pair]}${scales[n] ? ` * block${u}_${n}` : ""};`,
          ),
          ...keys.flatMap((n) =>
            heads.map((g) => {
              const q = half ? `bitcast<vec2<f16>>(${wordOf(`q${name}`, g, p.group)})` : `q${name}_${g}`;
              return `dot${n}_${g} = fma(c${name}_${n}, ${q}, dot${n}_${g});`;
            }),
          ),
        ];
      }),
    ];
  });
  return lines([
    p.keys.length > 1
      ? `// Products of ${p.keys.length} keys with every query head.`
      : "// Products of a key with every query head.",
    keyText,
    `for (var block = 0u; block < ${blocks}u; block++) {`,
    `let unit0 = ${p.lane} * ${chunk}u + block * ${block}u;`,
    ...loaded.flatMap(({ lines }) => lines),
    ...products,
    "}",
    partText,
  ]);
}

/** Type of one word for each head, and its parts. */
export function wordsType(group: number): string {
  if (group === 1) return "u32";
  if (group === 2 || group === 4) return `vec${group}u`;
  return group === 8 ? "array<vec4u, 2>" : `array<u32, ${group}>`;
}
export function wordOf(name: string, g: number, group: number): string {
  if (group === 1) return name;
  if (group === 2 || group === 4) return `${name}.${"xyzw"[g]}`;
  return group === 8 ? `${name}[${g >> 2}].${"xyzw"[g & 3]}` : `${name}[${g}]`;
}
export function wordsText(group: number, word: (g: number) => string): string {
  const all = range(group).map(word);
  if (group === 1) return all[0]!;
  if (group !== 8) return `${wordsType(group)}(${all.join(", ")})`;
  return `array<vec4u, 2>(vec4u(${all.slice(0, 4).join(", ")}), vec4u(${all.slice(4).join(", ")}))`;
}
