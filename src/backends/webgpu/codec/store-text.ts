/** @file WGSL that writes one prepared vector (`xs`) as a row of a page: the text of `store_k` and `store_v` in append.wgsl. */
import { planeShifts } from "../../../quant/bit-pack.ts";
import type { SideFormat } from "../../../quant/kv-format.ts";
import { BLOCK, codeBits, type Region, type SideLayout } from "../../../quant/page-layout.ts";
import { kindOf } from "../../../quant/side-kind.ts";
import { SEARCH_FACTORS } from "../../../quant/vector-quantizer.ts";
import { chosenText, floatText } from "../queue/shader-text.ts";
import { feedbackText, metricScaleText, searches } from "./feedback-text.ts";
import { walkText } from "./trellis-text.ts";

const rowAt = (r: Region): string => `page + ${r.offset}u + head * ${r.headStride}u + slot * ${r.rowBytes}u`;

/**
 * `sum` of every fourth term from `first` on, one after the other as the format has it; the terms are read some at a time.
 * term: of the coordinate that is called by its argument
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

/** Words of a plane from `codes`; rows that share words with others go byte by byte. */
function packText(layout: SideLayout, bits: number): string {
  return planeShifts(bits)
    .map(({ width, shift }, i) => {
      const plane = layout.planes[i]!;
      const whole = plane.rowBytes % 4 === 0;
      const per = (whole ? 32 : 8) / width;
      const store = whole
        ? `atomicStore(&pages[(${rowAt(plane)}) / 4u + i], word);`
        : `put_main(${rowAt(plane)} + i, word, 0xffu);`;
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

function scaleText(rule: SideFormat["scale"]): string {
  if (rule === "norm") return "norm";
  if (rule === "norm-preserving") return "quotient(norm * ROOT, root(square))";
  return "quotient(norm * along, square)";
}

/** Square and product with the vector of every candidate, and those of the one that points most nearly along it. */
function squaresText(headDim: number, factors: readonly number[]): string {
  return `
  // Sums of candidate f: its square (four accumulators), then its product with the vector (four more).
  if (l < ${factors.length * 8}u) {
    let at = l / 8u * HEAD_DIM;
    let is_square = l % 8u < 4u;
    ${sumText(headDim, "l % 4u", (i, n) => ({
      reads: `let c${n} = candidates[at + ${i}];\n      let u${n} = select(ys[${i}], c${n}, is_square);`,
      value: `u${n} * c${n}`,
    }))}
    sums[l] = sum;
  }
  workgroupBarrier();
  // One invocation a factor: roots and quotients that round as the format says are the dearest part.
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

function codesText(
  name: string,
  headDim: number,
  side: SideFormat,
  layout: SideLayout,
  bits: number,
  feedback: boolean,
): string {
  const factors = searches(side) ? [...SEARCH_FACTORS] : [1];
  // In `book`: centroids, then the boundaries between them.
  const boundsAt = 2 ** bits;
  const nearest = `
fn nearest_${name}(t: f32) -> u32 {
  var index = 0u;
  for (var half = ${2 ** (bits - 1)}u; half > 0u; half >>= 1u) {
    if (book[${boundsAt}u + index + half - 1u] < t) {
      index += half;
    }
  }
  return index;
}`;
  const candidates = factors.map(
    (factor, f) => `candidates[${f}u * HEAD_DIM + i] = book[nearest_${name}(u * ${floatText(factor)})];`,
  );
  return `${side.trellis ? "" : nearest}
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
    ${side.trellis ? "" : candidates.join("\n    ")}
  }
  workgroupBarrier();
  ${side.trellis ? (feedback ? "" : walkText() + squaresText(headDim, factors)) : squaresText(headDim, factors)}
  ${
    feedback
      ? feedbackText(name, side)
      : side.trellis
        ? ""
        : `for (var i = l; i < HEAD_DIM; i += THREADS) {
    codes[i] = nearest_${name}(ys[i] * chosen);
  }
  workgroupBarrier();`
  }
  ${packText(layout, bits)}
  if (l == 0u) {
    put_main(${rowAt(layout.scales!)}, f16_bits(min(MAX_FLOAT16, ${feedback ? metricScaleText(side.scale) : scaleText(side.scale)})), 0xffffu);
  }
}`;
}

function blocksText(name: string, side: SideFormat, layout: SideLayout): string {
  const isQ8 = side.type === "q8_0";
  return `
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  let start = l * ${BLOCK}u;
  if (start < HEAD_DIM) {
    let end = min(start + ${BLOCK}u, HEAD_DIM);
    var extreme = 0.0;
    for (var i = start; i < end; i++) {
      if (abs(xs[i]) > abs(extreme)) {
        extreme = xs[i];
      }
    }
    ${isQ8 ? "let top = abs(extreme); let scale = quotient(top, 127.0);" : "let scale = extreme / -8.0;"}
    var inverse = 0.0;
    if (extreme != 0.0) {
      inverse = ${isQ8 ? "quotient(127.0, top)" : "quotient(-8.0, extreme)"};
    }
    for (var i = start; i < end; i++) {
      codes[i] = ${isQ8 ? "u32(round(xs[i] * inverse) + 128.0)" : "u32(min(15.0, floor(rounded(xs[i] * inverse) + 8.5)))"};
    }
    put_main(${rowAt(layout.scales!)} + 2u * l, f16_bits(scale), 0xffffu);
  }
  workgroupBarrier();
  ${packText(layout, codeBits(side.type))}
}`;
}

function floatsText(name: string, side: SideFormat, layout: SideLayout): string {
  const wide = side.type === "f32";
  const plane = layout.planes[0]!;
  return `
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  let at = (${rowAt(plane)}) / 4u;
  for (var i = l; i < HEAD_DIM / ${wide ? 1 : 2}u; i += THREADS) {
    atomicStore(&pages[at + i], ${wide ? "bitcast<u32>(xs[i])" : "f16_bits(xs[2u * i]) | (f16_bits(xs[2u * i + 1u]) << 16u)"});
  }
}`;
}

/** feedback: codes are found by error feedback with the factors at K_FEEDBACK_AT or V_FEEDBACK_AT */
export function storeText(
  name: "k" | "v",
  headDim: number,
  side: SideFormat,
  layout: SideLayout,
  feedback: boolean,
): string {
  if (kindOf(side.type) === "float") return floatsText(name, side, layout);
  if (kindOf(side.type) === "block") return blocksText(name, side, layout);
  return codesText(name, headDim, side, layout, codeBits(side.type), feedback);
}
