/** @file WGSL that writes one prepared vector (`xs`) as a row of a page: the frame of `store_k` and `store_v` in append.wgsl. */
import { planeShifts } from "../../../quant/bit-pack.ts";
import type { AnySide } from "../../../quant/codecs/side-codec.ts";
import type { Region, SideRegions } from "../../../quant/page-regions.ts";
import type { ScaleRule } from "../../../quant/rules.ts";
import { chosenText } from "../queue/shader-text.ts";
import { metricScaleText } from "./feedback-text.ts";
import type { StoreTarget } from "./wgsl-codec.ts";

/** Where the row that `store` writes begins in a region, in bytes. */
export const storedRowText = (r: Region): string =>
  `page + ${r.offset}u + head * ${r.headStride}u + slot * ${r.rowBytes}u`;

/**
 * Adds every fourth term from `first` on to `sum`, one after the other as the format prescribes; several terms are read at once.
 * term: expression for the coordinate with the given index
 */
function sumText(
  headDim: number,
  first: string,
  term: (i: string, n: number) => { reads: string; value: string },
): string {
  const count = headDim / 4;
  const unroll = [8, 4, 2].find((n) => count % n === 0) ?? 1;
  const terms = Array.from({ length: unroll }, (_, n) => term(`(i + ${4 * n}u)`, n));
  return `var sum = 0.0;
    for (var i = ${first}; i < HEAD_DIM; i += ${4 * unroll}u) {
      ${terms.map(({ reads }) => reads).join("\n      ")}
      ${terms.map(({ value }) => `sum = sum + rounded(${value});`).join("\n      ")}
    }`;
}

const isOfWindow = (name: StoreTarget<AnySide>["name"]): boolean => name === "window_k" || name === "window_v";

/** The array that a `store_NAME` writes to, and the function that puts bits there. */
const targetOf = (name: StoreTarget<AnySide>["name"]) =>
  isOfWindow(name) ? { pages: "residual_pages", put: "put_window" } : { pages: "pages", put: "put_main" };

/** Packs `codes` into the words of every plane. Rows that share words with others are stored byte by byte. */
export function packText(layout: SideRegions, bits: number, name: StoreTarget<AnySide>["name"] = "k"): string {
  const { pages, put } = targetOf(name);
  return planeShifts(bits)
    .map(({ width, shift }, i) => {
      const plane = layout.planes[i]!;
      const whole = plane.rowBytes % 4 === 0;
      const per = (whole ? 32 : 8) / width;
      const store = whole
        ? `atomicStore(&${pages}[(${storedRowText(plane)}) / 4u + i], word);`
        : `${put}(${storedRowText(plane)} + i, word, 0xffu);`;
      return `
  for (var i = l; i < ${whole ? plane.rowBytes / 4 : plane.rowBytes}u; i += THREADS) {
    var word = 0u;
    for (var c = 0u; c < ${per}u; c++) {
      word |= ((codes[i * ${per}u + c] >> ${shift}u) & ${2 ** width - 1}u) << (c * ${width}u);
    }
    ${store}
  }`;
    })
    .join("");
}

function scaleText(rule: ScaleRule): string {
  if (rule === "norm") return "norm";
  if (rule === "norm-preserving") return "quotient(norm * ROOT, root(square))";
  return "quotient(norm * along, square)";
}

/**
 * Computes, for each factor of the vector, the square of what its codes are worth and their product with the vector, then picks the
 * factor with the best cosine.
 * worth: expression of what coordinate i is worth with factor number `f`
 */
export function squaresText(headDim: number, factors: readonly number[], worth: (i: string) => string): string {
  return `
  // Each factor has four accumulators for its square, then four for its product with the vector.
  for (var part = l; part < ${factors.length * 8}u; part += THREADS) {
    let f = part / 8u;
    let is_square = part % 8u < 4u;
    ${sumText(headDim, "part % 4u", (i, n) => ({
      reads: `let c${n} = ${worth(i)};\n      let u${n} = select(ys[${i}], c${n}, is_square);`,
      value: `u${n} * c${n}`,
    }))}
    sums[part] = sum;
  }
  workgroupBarrier();
  // One invocation for each factor, because correctly rounded roots and quotients are the most expensive part.
  if (l < ${factors.length}u) {
    let at = l * 8u;
    let cc = (sums[at] + sums[at + 1u]) + (sums[at + 2u] + sums[at + 3u]);
    let uc = (sums[at + 4u] + sums[at + 5u]) + (sums[at + 6u] + sums[at + 7u]);
    cosines[l] = quotient(uc, root(cc));
  }
  workgroupBarrier();
  var best = 0u;
  var best_cosine = -3.0e38;
  for (var f = 0u; f < ${factors.length}u; f++) {
    if (cosines[f] > best_cosine) {
      best = f;
      best_cosine = cosines[f];
    }
  }
  let chosen = ${chosenText(factors)};
  let best_at = best * 8u;
  let square = (sums[best_at] + sums[best_at + 1u]) + (sums[best_at + 2u] + sums[best_at + 3u]);
  let along = (sums[best_at + 4u] + sums[best_at + 5u]) + (sums[best_at + 6u] + sums[best_at + 7u]);`;
}

/** What kinds of codes differ in. */
export interface CodesText {
  readonly bits: number;
  readonly rule: ScaleRule;
  /** Functions that only this kind of codes has. */
  readonly functions: string;
  /** Statements for coordinate `i` of the unit vector, `u`. */
  readonly each: string;
  /** Statements that leave the codes in `codes`, and `square` and `along`, or what `metricScaleText` reads with feedback. */
  readonly choose: string;
}

/** Stores a vector as codes of its direction and one f16 scale. */
export function codesText(
  { name, layout, headDim, feedback }: Pick<StoreTarget<AnySide>, "name" | "layout" | "headDim" | "feedback">,
  { bits, rule, functions, each, choose }: CodesText,
): string {
  return `${functions}
// The analysis does not know that the lanes of a subgroup agree on whether they are the first ones.
@diagnostic(off, subgroup_uniformity)
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  if (l < 4u) {
    ${sumText(headDim, "l", (i, n) => ({ reads: `let x${n} = xs[${i}];`, value: `x${n} * x${n}` }))}
    sums[l] = sum;
  }
  workgroupBarrier();
  let norm = root((sums[0] + sums[1]) + (sums[2] + sums[3]));
  var factor = 0.0;
  if (norm > 0.0) {
    factor = quotient(ROOT, norm);
  }
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    let u = xs[i] * factor;
    ys[i] = u;
    ${each}
  }
  workgroupBarrier();
  ${choose}
  ${packText(layout, bits, name)}
  if (l == 0u) {
    let bits = f16_bits(min(MAX_FLOAT16, ${feedback ? metricScaleText(rule) : scaleText(rule)}));
    ${targetOf(name).put}(${storedRowText(layout.scales[0]!)}, bits, 0xffffu);
    ${isOfWindow(name) ? "window_scale = unpack2x16float(bits).x;" : ""}
  }
}`;
}
