/**
 * @file WGSL that reads the rows of a page where they lie: the one reader of every attention kernel, for codes, blocks and floats.
 *
 * `loadUnits` gives statements that load the words of a unit (eight neighbouring coordinates of a row) and expressions of its
 * four pairs, codes as centroids of norm √headDim, and of the block's factor; `rowScale` is the factor of the whole row.
 */
import { codeBits, type Region, type SideLayout } from "../../../quant/page-layout.ts";
import { kindOf } from "../../../quant/side-kind.ts";
import { TRELLIS_RUN } from "../../../quant/trellis.ts";
import { floatText } from "../queue/shader-text.ts";
import { fieldText, pairTexts, type TableUse, type UnitWord } from "./table-text.ts";

/** Arrays that a page is bound as: of u32, and of vec4u for what is read 16 bytes at a time. */
export interface PageArrays {
  readonly words: string;
  readonly quads: string;
}

/** WGSL expressions that say where a row is: the page in bytes, the KV head, the row. */
export interface RowPlace {
  readonly page: string;
  readonly head: string;
  readonly row: string;
}

/** For rows of floats: nothing is looked up. */
export const FLOATS: TableUse = { half: false, tableAt: 0, copies: 1, copy: "" };

/** Where a row begins in a region, in bytes. */
const rowAt = (r: Region, { page, head, row }: RowPlace): string =>
  `${page} + ${r.offset}u + ${head} * ${r.headStride}u + (${row}) * ${r.rowBytes}u`;

/** The f16 of a row in a region of scales; extra: more bytes, an even number of them. */
function halfText(words: string, region: Region, place: RowPlace, extra = ""): string {
  const at = `(${rowAt(region, place)}${extra})`;
  return `unpack2x16float(${words}[${at} >> 2u] >> ((${at} & 2u) * 8u)).x`;
}

const isBlocks = ({ type }: SideLayout): boolean => type === "q8_0" || type === "q4_0r";

/** Factor of a row of codes; null where there is none or each block has its own. */
export function rowScale(side: SideLayout, headDim: number, place: RowPlace, words: string): string | null {
  if (kindOf(side.type) !== "scalar") return null;
  return `${halfText(words, side.scales!, place)} * ${floatText(1 / Math.sqrt(headDim))}`;
}

/** Factor of the block that a unit belongs to; null where there are no blocks. */
function blockScale(side: SideLayout, place: RowPlace, unit: string, words: string): string | null {
  return isBlocks(side) ? halfText(words, side.scales!, place, ` + ${unit} / 4u * 2u`) : null;
}

/** The code before the unit at byte `at`, in the low bits; 0 where the unit begins a run. */
function beforeText(words: string, at: string, unit: string): string {
  const inRun = `${unit} % ${TRELLIS_RUN / 8}u`;
  const byte = `(${at} - min(${inRun}, 1u))`;
  return `select(0u, ${words}[${byte} >> 2u] >> ((${byte} & 3u) * 8u + 6u), ${inRun} > 0u)`;
}

export interface Loaded {
  /** Statements that load the words. */
  readonly lines: string[];
  /** Names of the words that are loaded one by one. */
  readonly words: readonly string[];
  /** Pairs of each unit, `vec2f` (or vec2<f16> for codes when `half`). */
  readonly units: readonly (readonly string[])[];
  /** What the pairs of each unit are to be multiplied by; null where there are no blocks. */
  readonly blocks: readonly (string | null)[];
}

/**
 * Loads `count` (1 or 4) units of a row beginning with `unit` and says what their pairs are. With 4, rows are read 16 bytes
 * at a time, so they have to begin at such a multiple. name: prefix of the new variables · at.previous: name of the word of
 * the unit before, moved as that of one unit is, which a trellis otherwise loads too
 */
export function loadUnits(
  side: SideLayout,
  use: TableUse,
  at: RowPlace & { readonly unit: string; readonly previous?: string | undefined },
  count: 1 | 4,
  name: string,
  arrays: PageArrays,
): Loaded {
  const lines: string[] = [];
  const names: string[] = [];
  const blocks = Array.from({ length: count }, (_, u) =>
    blockScale(side, at, u === 0 ? at.unit : `(${at.unit} + ${u}u)`, arrays.words),
  );
  const words: UnitWord[][] = Array.from({ length: count }, () => []);
  const floats: string[][] = Array.from({ length: count }, () => []);
  for (const [i, plane] of side.planes.entries()) {
    const { width } = plane;
    const start = `${name}${i}`;
    const bytes = count * width;
    const isWords =
      width < 16 &&
      bytes >= 4 &&
      bytes < 16 &&
      [plane.offset, plane.headStride, plane.rowBytes, width].every((n) => n % 4 === 0);
    if (isWords) {
      // Counted in words, the row last: what does not depend on it is added up once, and nothing has to be aligned.
      const { page, head, unit, row } = at;
      lines.push(
        `let ${start} = ((${page} >> 2u) + ${plane.offset / 4}u + ${head} * ${plane.headStride / 4}u + ${unit} * ${width / 4}u) + (${row}) * ${plane.rowBytes / 4}u;`,
      );
    } else lines.push(`let ${start} = ${rowAt(plane, at)} + ${at.unit} * ${width}u;`);
    if (width >= 16 || (count === 4 && width >= 4)) {
      const quads = (count * width) / 16;
      for (let n = 0; n < quads; n++) {
        lines.push(`let ${start}_${n} = ${arrays.quads}[(${start} >> 4u)${n > 0 ? ` + ${n}u` : ""}];`);
      }
      const word = (n: number): string => `${start}_${n >> 2}.${"xyzw"[n & 3]}`;
      for (let u = 0; u < count; u++) {
        if (width === 4) words[u]!.push({ low: word(u), shift: 0 });
        else if (width === 8) words[u]!.push({ low: word(2 * u), high: word(2 * u + 1), shift: 0 });
        else if (width === 16) floats[u]!.push(...[0, 1, 2, 3].map((n) => `unpack2x16float(${word(4 * u + n)})`));
        else {
          const pair = (n: number): string => `bitcast<vec2f>(vec2u(${word(8 * u + n)}, ${word(8 * u + n + 1)}))`;
          floats[u]!.push(...[0, 2, 4, 6].map(pair));
        }
      }
      continue;
    }
    const isWhole = bytes >= 4;
    for (let n = 0; n < Math.max(1, bytes / 4); n++) {
      const word = `${arrays.words}[${isWords ? start : `(${start} >> 2u)`}${n > 0 ? ` + ${n}u` : ""}]`;
      names.push(`${start}_${n}`);
      lines.push(`let ${start}_${n} = ${isWhole ? word : `${word} >> ((${start} & 3u) * 8u)`};`);
    }
    if (use.trellis && count === 1) {
      if (!at.previous) {
        names.push(`${start}_b`);
        lines.push(`let ${start}_b = ${beforeText(arrays.words, start, at.unit)};`);
      }
      words[0]!.push({
        low: `${start}_0`,
        shift: 0,
        before: at.previous ? { word: at.previous, shift: 14 } : { word: `${start}_b`, shift: 0 },
      });
      continue;
    }
    for (let u = 0; u < count; u++) {
      if (width === 8) words[u]!.push({ low: `${start}_0`, high: `${start}_1`, shift: 0 });
      else {
        const n = (u * width) >> 2;
        // Four units are one run of a trellis: the code before the second word ends the first.
        const before = use.trellis && n > 0 ? { before: { word: `${start}_${n - 1}`, shift: 30 } } : {};
        words[u]!.push({ low: `${start}_${n}`, shift: ((u * width) & 3) * 8, ...before });
      }
    }
  }
  if (kindOf(side.type) === "float") return { lines, words: names, units: floats, blocks };
  if (isBlocks(side)) {
    const zero = side.type === "q8_0" ? 128 : 8;
    const units = words.map(([word]) => blockPairs(word!, side.planes[0]!.width, zero));
    return { lines, words: names, units, blocks };
  }
  return { lines, words: names, units: words.map((unit) => pairTexts(use, codeBits(side.type), unit)), blocks };
}

/** Integers around `zero`, before their block's scale. */
function blockPairs({ low, high, shift }: UnitWord, width: number, zero: number): string[] {
  const value = (i: number): string => {
    const isHigh = width === 8 && i >= 4;
    const field = fieldText(isHigh ? high! : low, isHigh ? width * (i - 4) : shift + width * i, width, 0);
    return `f32(${field}) - ${zero}.0`;
  };
  return [0, 1, 2, 3].map((pair) => `vec2f(${value(2 * pair)}, ${value(2 * pair + 1)})`);
}
