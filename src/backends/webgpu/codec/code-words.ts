/**
 * @file WGSL expressions that take codes out of words, and the words out of a page: what kernels with unrolled inner loops
 * are put together from. read-text.ts wraps the same in functions.
 */
import { codeBits, planeWidths, type Region, type SideLayout } from "../../../quant/page-layout.ts";
import { TRELLIS_RUN } from "../../../quant/trellis.ts";

/** Up to this many bits, two codes can index the table together. */
const PAIR_BITS = 5;
/** Whether a word of the table is a pair of centroids as f16. f32 kernels keep them whole, one a word. */
export const hasPairs = (bits: number, half: boolean): boolean => half && bits <= PAIR_BITS;

/** A plane's bits of one unit of eight codes: `low` from bit `shift` on; `high` holds the last four codes of 8 bits. */
export interface UnitWord {
  readonly low: string;
  readonly shift: number;
  readonly high?: string;
  /** Trellis: bits that hold the code before. Without them it lies below `shift`, or is 0 where that is 0. */
  readonly before?: { readonly word: string; readonly shift: number };
}

export interface TableUse {
  /** Pairs are vec2<f16>, else vec2<f32>. */
  readonly half: boolean;
  /** First entry of the table in `lut`. */
  readonly tableAt: number;
  /** Copies of the table that lie interleaved, and the name of the byte offset of the one that this invocation reads. */
  readonly copies: number;
  readonly copy: string;
  /** A code chooses its value together with the one before it. */
  readonly trellis?: boolean | undefined;
}

/** Bits `[shift, shift + width)` of a word, moved to bit `to`. */
function fieldText(word: string, shift: number, width: number, to: number): string {
  const moved = shift > to ? `(${word} >> ${shift - to}u)` : shift < to ? `(${word} << ${to - shift}u)` : word;
  return `(${moved} & ${((2 ** width - 1) * 2 ** to) >>> 0}u)`;
}

/** The code before the unit at byte `at`, in the low bits; 0 where the unit begins a run. */
export function beforeText(words: string, at: string, unit: string): string {
  const inRun = `${unit} % ${TRELLIS_RUN / 8}u`;
  const byte = `(${at} - min(${inRun}, 1u))`;
  return `select(0u, ${words}[${byte} >> 2u] >> ((${byte} & 3u) * 8u + 6u), ${inRun} > 0u)`;
}

/** `count` codes of a trellis from the unit's `first` on, with the one before them: neighbouring bits. */
function chainFields({ low, shift, before }: UnitWord, first: number, count: number, to: number): string[] {
  if (shift + first > 0) return [fieldText(low, shift + 2 * first - 2, 2 * count + 2, to)];
  const codes = fieldText(low, 0, 2 * count, to + 2);
  return before ? [codes, fieldText(before.word, before.shift, 2, to)] : [codes];
}

/** Four pairs of centroids of a unit whose planes are `words`. */
export function pairTexts(use: TableUse, bits: number, words: readonly UnitWord[]): string[] {
  const widths = planeWidths(bits);
  // Counted in bytes, which is what a compiler makes of it: shifts to a word and back would be two more.
  const scale = Math.log2(use.copies) + 2;
  const copy = use.copies > 1 ? ` | ${use.copy}` : "";
  const entry = (fields: readonly string[]): string =>
    `lut[${use.tableAt > 0 ? `${use.tableAt * use.copies}u + ` : ""}((${fields.join(" | ")}${copy}) >> 2u)]`;
  // Of `count` codes from the unit's `first` on.
  const fields = (first: number, count: 1 | 2): string[] => {
    if (use.trellis) return chainFields(words[0]!, first, count, scale);
    let to = count * bits;
    return widths.map((width, w) => {
      to -= count * width;
      const { low, high, shift } = words[w]!;
      const isHigh = width === 8 && first >= 4;
      const from = isHigh ? width * (first - 4) : shift + width * first;
      return fieldText(isHigh ? high! : low, from, count * width, to + scale);
    });
  };
  const single = (i: number): string => {
    const value = `bitcast<f32>(${entry(fields(i, 1))})`;
    return use.half ? `f16(${value})` : value;
  };
  return [0, 2, 4, 6].map((i) =>
    hasPairs(bits, use.half)
      ? `bitcast<vec2<f16>>(${entry(fields(i, 2))})`
      : `vec2<${use.half ? "f16" : "f32"}>(${single(i)}, ${single(i + 1)})`,
  );
}

/** Where a row begins in a region, in bytes; `page`, `head` and `row` are names. */
export const rowAt = (r: Region, page: string, head: string, row: string): string =>
  `${page} + ${r.offset}u + ${head} * ${r.headStride}u + (${row}) * ${r.rowBytes}u`;

export interface Loaded {
  /** Statements that load the words. */
  readonly lines: string[];
  /** Names of the words that are loaded one by one. */
  readonly words: readonly string[];
  /** Pairs of each unit, `vec2f` (or vec2<f16> for codes when `half`). */
  readonly units: readonly (readonly string[])[];
}

/**
 * Loads `count` (1 or 4) units of a row beginning with `unit` and says what their pairs are. With 4, rows are read 16 bytes
 * at a time, so they have to begin at such a multiple. name: prefix of the new variables · at.previous: name of the word of
 * the unit before, moved as that of one unit is, which a trellis otherwise loads too
 */
export function loadUnits(
  side: SideLayout,
  use: TableUse,
  at: {
    readonly page: string;
    readonly head: string;
    readonly row: string;
    readonly unit: string;
    readonly previous?: string | undefined;
  },
  count: 1 | 4,
  name: string,
  arrays: { readonly words: string; readonly quads: string },
): Loaded {
  const lines: string[] = [];
  const names: string[] = [];
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
    } else lines.push(`let ${start} = ${rowAt(plane, at.page, at.head, at.row)} + ${at.unit} * ${width}u;`);
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
  if (side.type === "f16" || side.type === "f32") return { lines, words: names, units: floats };
  if (side.type === "q8_0" || side.type === "q4_0r") {
    const zero = side.type === "q8_0" ? 128 : 8;
    return { lines, words: names, units: words.map(([word]) => blockPairs(word!, side.planes[0]!.width, zero)) };
  }
  return { lines, words: names, units: words.map((unit) => pairTexts(use, codeBits(side.type), unit)) };
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
