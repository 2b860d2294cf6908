/**
 * @file WGSL that both kernels of decode attention use: addresses of keys, their scales, dot products of a few keys with all
 * query heads, tables of centroids. Registers are named one by one, because compilers may put indexed arrays into memory.
 */
import type { PageLayout } from "../../../quant/page-layout.ts";
import type { PageArrays } from "../codec/place-text.ts";
import { loadUnits } from "../codec/read-text.ts";
import type { TableUse } from "../codec/table-text.ts";

export interface DecodeSides {
  readonly main: PageLayout;
  readonly residual: PageLayout | null;
  readonly k: TableUse;
  readonly v: TableUse;
  /** Of sinks and window of 8 bits; `FLOATS` of 16. */
  readonly ofWindow: { readonly k: TableUse; readonly v: TableUse };
  /** Names of the arrays that pages are bound as. */
  readonly arrays: Readonly<Record<Stream, PageArrays>>;
}

/** What a piece of text reads: the pages of codes, or those of sinks and window, which are copies in 16 bits or rows of 8. */
export type Stream = "codes" | "copies";

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const lines = (texts: readonly string[]): string => texts.join("\n");
export const ARRAYS = {
  codes: { words: "pages", quads: "pages4" },
  copies: { words: "residual4", quads: "residual4" },
} as const;

/** The text for codes and, if the format has 16-bit copies, the text for these and a choice between the two. */
export function either(sides: DecodeSides, text: (stream: Stream) => string): string {
  const codes = `// These keys are read as codes.\n${text("codes")}`;
  return sides.residual
    ? `if (is_residual) {\n// These keys are sinks or in the window.\n${text("copies")}\n} else {\n${codes}\n}`
    : `{\n${codes}\n}`;
}

/** Declares the page and the row of key `key`. */
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
  /** Coordinates of a key, and the pair of coordinates of a query that is multiplied by the first of them; absent: 0. */
  readonly headDim: number;
  readonly firstPair?: number;
  /** Query heads of a KV head. */
  readonly group: number;
  /** WGSL expressions of the keys that are multiplied together, and of the last key that there is. */
  readonly keys: readonly string[];
  readonly last: string;
  /** Number of invocations that share a key, and an expression for which of them an invocation is. */
  readonly lanes: number;
  readonly lane: string;
  /** Whether codes are multiplied in f16. The query is then in `half_query`, with two of its heads in a pair of words. */
  readonly half: boolean;
}

/** Dot products of K with every query head, over the invocation's share of the coordinates: `part<key>_<head>`. */
export function productsText(p: Products, sides: DecodeSides, stream: Stream): string {
  const side = stream === "codes" ? sides.main.k : sides.residual!.k;
  const half = stream === "codes" && p.half;
  const use = (stream === "codes" ? sides : sides.ofWindow).k;
  const chunk = p.headDim / 8 / p.lanes;
  // A multiple of four units is read 16 bytes at a time.
  const block = chunk % 4 === 0 ? 4 : 1;
  const keys = range(p.keys.length);
  const heads = range(p.group);
  const blocks = chunk / block;
  const keyText = lines(
    keys.flatMap((n) => [
      `let key${n} = min(${p.keys[n]}, ${p.last});`,
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
      sides.arrays[stream],
    ),
  );
  const products = range(block).flatMap((u) => {
    const scales = loaded.map(({ blocks }) => blocks[u]);
    return [
      ...scales.flatMap((scale, n) => (scale ? [`let block${u}_${n} = ${scale};`] : [])),
      ...range(4).flatMap((pair) => {
        const at = `${p.firstPair ? `${p.firstPair}u + ` : ""}(unit0 + ${u}u) * 4u + ${pair}u`;
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
      ? `// ${p.keys.length} keys are multiplied with every query head.`
      : "// A key is multiplied with every query head.",
    keyText,
    `for (var block = 0u; block < ${blocks}u; block++) {`,
    `let unit0 = ${p.lane} * ${chunk}u + block * ${block}u;`,
    ...loaded.flatMap(({ lines }) => lines),
    ...products,
    "}",
    partText,
  ]);
}

/** The WGSL type with one word for each head, and its components. */
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
