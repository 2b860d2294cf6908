/**
 * @file WGSL that reads rows of a page as they are stored, for all attention kernels: codes, blocks and floats.
 *
 * `loadUnits` gives statements that load the words of a unit (eight neighbouring coordinates of a row), and expressions for its
 * four pairs (codes as centroids for vectors of norm √headDim) and its block's factor. `rowScale` is the factor of the whole row.
 */
import type { SideLayout } from "../../../quant/page-layout.ts";
import { TRELLIS_RUN } from "../../../quant/trellis.ts";
import { type PageArrays, type RowPlace, rowText, wordText } from "./place-text.ts";
import { wgslCodecs } from "./registry.ts";
import type { TableUse, UnitWord } from "./table-text.ts";

/** The use of a table by rows of floats, which need none. */
export const FLOATS: TableUse = { half: false, tableAt: 0, copies: 1, copy: "" };

/** Factor of a row of codes; null when there is none or each block has its own. */
export function rowScale({ side, scales }: SideLayout, headDim: number, place: RowPlace, words: string): string | null {
  return wgslCodecs.of(side).rowFactor?.({ scales, headDim }, place, words) ?? null;
}

/** The code before the unit at byte `at`, in the low bits; 0 when the unit begins a run. */
function beforeText(words: string, at: string, unit: string): string {
  const inRun = `${unit} % ${TRELLIS_RUN / 8}u`;
  const byte = `(${at} - min(${inRun}, 1u))`;
  return `select(0u, ${wordText(words, `${byte} >> 2u`)} >> ((${byte} & 3u) * 8u + 6u), ${inRun} > 0u)`;
}

export interface Loaded {
  /** Statements that load the words. */
  readonly lines: string[];
  /** Names of the words that are loaded one by one. */
  readonly words: readonly string[];
  /** Pairs of each unit, `vec2f` (or vec2<f16> for codes when `half`). */
  readonly units: readonly (readonly string[])[];
  /** Factor for the pairs of each unit; null without blocks. */
  readonly blocks: readonly (string | null)[];
}

/**
 * Loads `count` (1 or 4) units of a row from `unit` on, and gives expressions for their pairs. With 4, rows are read 16 bytes
 * at a time, so `unit` has to be a multiple of 4.
 * name: prefix of the new variables · at.previous: variable with the word of the unit before, shifted like that of one unit
 * (without it a trellis loads that word)
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
  const codec = wgslCodecs.of(side.side);
  const blocks = Array.from({ length: count }, (_, u) => {
    const unit = u === 0 ? at.unit : `(${at.unit} + ${u}u)`;
    return codec.blockFactor?.(side, at, unit, arrays.words) ?? null;
  });
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
      // The address is computed in words with the row last, so that the rest is computed once and nothing has to be aligned.
      const { page, head, unit, row } = at;
      lines.push(
        `let ${start} = ((${page} >> 2u) + ${plane.offset / 4}u + ${head} * ${plane.headStride / 4}u + ${unit} * ${width / 4}u) + (${row}) * ${plane.rowBytes / 4}u;`,
      );
    } else lines.push(`let ${start} = ${rowText(plane, at)} + ${at.unit} * ${width}u;`);
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
      const word = wordText(arrays.words, `${isWords ? start : `(${start} >> 2u)`}${n > 0 ? ` + ${n}u` : ""}`);
      names.push(`${start}_${n}`);
      lines.push(`let ${start}_${n} = ${isWhole ? word : `${word} >> ((${start} & 3u) * 8u)`};`);
    }
    if (codec.isChained && count === 1) {
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
        // Four units are one run of a trellis. For the second and later words, the code before is in the previous word.
        const before = codec.isChained && n > 0 ? { before: { word: `${start}_${n - 1}`, shift: 30 } } : {};
        words[u]!.push({ low: `${start}_${n}`, shift: ((u * width) & 3) * 8, ...before });
      }
    }
  }
  const { pairs } = codec;
  return { lines, words: names, units: pairs ? words.map((unit) => pairs(side.side, use, unit)) : floats, blocks };
}
