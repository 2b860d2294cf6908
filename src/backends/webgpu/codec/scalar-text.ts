/** @file WGSL of Lloyd–Max codes: indices into a table of centroids, and one f16 scale a row. */
import { planeWidths } from "../../../quant/bit-pack.ts";
import { getCodebook } from "../../../quant/codebook.ts";
import type { ScalarSide } from "../../../quant/codecs/scalar/scalar-codec.ts";
import { INVERSE_FACTORS, SEARCH_FACTORS } from "../../../quant/vector-quantizer.ts";
import { floatText } from "../queue/shader-text.ts";
import { feedbackText, nearestText, range } from "./feedback-text.ts";
import { halfText } from "./place-text.ts";
import { codesText, squaresText } from "./store-text.ts";
import { hasPairs, pairTexts, planeFields } from "./table-text.ts";
import type { StoreTarget, WgslCodec } from "./wgsl-codec.ts";

/** The scale of a row whose codes stand for values of vectors of norm √headDim. */
export const rowFactorText: NonNullable<WgslCodec["rowFactor"]> = ({ scales, headDim }, place, words) =>
  `${halfText(words, scales[0]!, place)} * ${floatText(1 / Math.sqrt(headDim))}`;

/** The word of entry `e`: a pair of centroids, whose codes lie in `e` as in a unit's planes, or a single one. */
function entryText(bits: number, half: boolean, at: number): string {
  if (!hasPairs(bits, half)) return `bitcast<u32>(centroids[${at}u + e])`;
  const code = (second: boolean): string => {
    let shift = 2 * bits;
    let low = bits;
    const parts = planeWidths(bits).map((width) => {
      shift -= 2 * width;
      low -= width;
      return `(((e >> ${shift + (second ? width : 0)}u) & ${2 ** width - 1}u) << ${low}u)`;
    });
    return parts.join(" | ");
  };
  return `pack2x16float(vec2f(centroids[${at}u + (${code(false)})], centroids[${at}u + (${code(true)})]))`;
}

/** A function that returns the number of boundaries below t. The book holds the centroids, then the boundaries between them. */
const nearestFunction = ({ name, book, side: { bits } }: StoreTarget<ScalarSide>): string => `
fn nearest_${name}(t: f32) -> u32 {
  var index = 0u;
  for (var half = ${2 ** (bits - 1)}u; half > 0u; half >>= 1u) {
    if (${book(`${2 ** bits}u + index + half - 1u`)} < t) {
      index += half;
    }
  }
  return index;
}`;

/** Codes that a coordinate has with each factor of the vector that is tried: in a word, and words of them. */
function triedCodes({ bits, search }: ScalarSide): { perWord: number; words: number } {
  const perWord = Math.floor(32 / bits);
  return { perWord, words: search ? Math.ceil(SEARCH_FACTORS.length / perWord) : 1 };
}

export const scalars: WgslCodec<ScalarSide> = {
  isBounded: true,
  book: {
    centroids: ({ bits }, headDim) => getCodebook(headDim, bits).scaled,
    boundaries: ({ bits }, headDim) => getCodebook(headDim, bits).boundaries,
    entries: ({ bits }, half) => (hasPairs(bits, half) ? 4 ** bits : 2 ** bits),
    entryText: ({ bits }, half, at) => entryText(bits, half, at),
  },
  pairs: ({ bits }, use, words) => pairTexts(use, bits, planeFields(bits, words)),
  rowFactor: rowFactorText,
  codeWords: (side) => triedCodes(side).words,
  store(target) {
    const { name, side, headDim, book, feedback, subgroup } = target;
    const nearest = (t: string): string => `nearest_${name}(${t})`;
    const chosenCodes = (inverses: readonly number[]): string =>
      feedbackText(name, inverses, nearestText({ name, book, bits: side.bits, headDim, subgroup }));
    const frame = { bits: side.bits, rule: side.scale, functions: nearestFunction(target) };
    if (!side.search) {
      const each = feedback ? "" : `codes[i] = ${nearest("u")};`;
      const choose = feedback
        ? `let chosen = 1.0;${chosenCodes([1])}`
        : squaresText(headDim, [1], (i) => book(`codes[${i}]`));
      return codesText(target, { ...frame, each, choose });
    }
    const { perWord, words } = triedCodes(side);
    const mask = 2 ** side.bits - 1;
    const each = range(words).map((word) => {
      const tried = SEARCH_FACTORS.slice(word * perWord, (word + 1) * perWord);
      const fields = [...tried].map((factor, n) => `(${nearest(`u * ${floatText(factor)}`)} << ${n * side.bits}u)`);
      return `codes[${word * headDim}u + i] = ${fields.join(" | ")};`;
    });
    const worth = (i: string): string =>
      book(`((codes[f / ${perWord}u * HEAD_DIM + ${i}] >> (f % ${perWord}u * ${side.bits}u)) & ${mask}u)`);
    const squares = squaresText(headDim, [...SEARCH_FACTORS], worth);
    const codes = `
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    codes[i] = ${nearest("ys[i] * chosen")};
  }
  workgroupBarrier();`;
    return codesText(target, {
      ...frame,
      each: each.join("\n    "),
      choose: squares + (feedback ? chosenCodes([...INVERSE_FACTORS]) : codes),
    });
  },
};
