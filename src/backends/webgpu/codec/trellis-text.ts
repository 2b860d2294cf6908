/**
 * @file WGSL of a trellis. Its codes are chosen by Viterbi's algorithm in `store_k` and `store_v` of append.wgsl, with the sums and
 * the order of src/quant/trellis.ts. `ys` is the vector, `book` the sixteen values.
 */
import type { TrellisSide } from "../../../quant/codecs/trellis/trellis-codec.ts";
import { TRELLIS_RUN, TRELLIS_VALUES } from "../../../quant/trellis.ts";
import { applyErrorsText, feedbackText, metricText } from "./feedback-text.ts";
import { rowFactorText } from "./scalar-text.ts";
import { codesText, squaresText } from "./store-text.ts";
import { type CodeFields, fieldText, pairTexts, type UnitWord } from "./table-text.ts";
import type { WgslCodec } from "./wgsl-codec.ts";

const BITS = 2;

/** A cost larger than any real one. */
const NEVER = "3.0e38";

/** Values of `code` after each possible code before it. */
const valuesText = (code: string): string =>
  `vec4f(${[0, 1, 2, 3].map((before) => `book[4u * ${code} + ${before}u]`).join(", ")})`;

/** Chooses codes without feedback. Runs are independent: one invocation computes each. */
function walkText(): string {
  const codes = [0, 1, 2, 3];
  return `
  if (l * ${TRELLIS_RUN}u < HEAD_DIM) {
    let start = l * ${TRELLIS_RUN}u;
    let end = min(start + ${TRELLIS_RUN}u, HEAD_DIM);
    ${codes.map((code) => `let values${code} = ${valuesText(`${code}u`)};`).join("\n    ")}
    var cost = vec4f(0.0, ${NEVER}, ${NEVER}, ${NEVER});
    for (var j = start; j < end; j++) {
      ${codes.map((code) => `let e${code} = ys[j] - values${code};\n      let price${code} = cost + rounded4(e${code} * e${code});`).join("\n      ")}
      // The states that the four survivors came from are kept in the place of the code, for the way back.
      codes[j] = ${codes.map((code) => `(least_of(price${code}) << ${2 * code}u)`).join(" | ")};
      cost = vec4f(${codes.map((code) => `least(price${code})`).join(", ")});
    }
    var state = least_of(cost);
    for (var j = end; j > start; j--) {
      let origins = codes[j - 1u];
      codes[j - 1u] = state;
      state = (origins >> (2u * state)) & 3u;
    }
  }
  workgroupBarrier();`;
}

/** What the codes of coordinate i and of the one before it are worth. */
const worthText = (i: string): string =>
  `book[select(0u, codes[max(${i}, 1u) - 1u], ${i} % ${TRELLIS_RUN}u > 0u) | (codes[${i}] << 2u)]`;

/**
 * Chooses codes with feedback, run by run. `candidates` holds the targets, then values, errors, weights, and two sets of the four
 * survivors' targets; their costs are in `cosines`, their codes in `paths`. An invocation computes one coordinate of a survivor.
 */
function chainText(): string {
  const states = [0, 1, 2, 3];
  const targets = states.map((s) => `candidates[survivors + (at + ${s}u) * ${TRELLIS_RUN}u + j]`).join(", ");
  const costs = states.map((s) => `cosines[at + ${s}u]`).join(", ");
  return `
  let survivors = 4u * HEAD_DIM;
  let code = l / ${TRELLIS_RUN}u;
  let own = l % ${TRELLIS_RUN}u;
  let values = ${valuesText("code")};
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    candidates[i] = ys[i];
    candidates[3u * HEAD_DIM + i] = constants[feedback_at + HEAD_DIM * HEAD_DIM + i];
  }
  for (var start = 0u; start < HEAD_DIM; start += ${TRELLIS_RUN}u) {
    let count = min(${TRELLIS_RUN}u, HEAD_DIM - start);
    let i = min(start + own, HEAD_DIM - 1u);
    workgroupBarrier();
    candidates[survivors + l] = candidates[i];
    if (own == 0u) {
      cosines[code] = select(${NEVER}, 0.0, code == 0u);
      paths[code] = vec2u();
    }
    // The factor is loaded one step before it is needed.
    var ahead = constants[feedback_at + start * HEAD_DIM + i];
    for (var j = 0u; j < count; j++) {
      let factor = ahead;
      ahead = constants[feedback_at + (start + j + 1u) * HEAD_DIM + i];
      workgroupBarrier();
      // The survivors of this step and of the next one alternate between the two halves.
      let at = (j & 1u) * 4u;
      let next = (at ^ 4u) + code;
      let e = vec4f(${targets}) - values;
      let price = vec4f(${costs}) + rounded4(candidates[3u * HEAD_DIM + start + j] * rounded4(e * e));
      let before = least_of(price);
      if (own > j) {
        let error = book[before | (code << 2u)] - ys[start + j];
        candidates[survivors + next * ${TRELLIS_RUN}u + own] = candidates[survivors + (at + before) * ${TRELLIS_RUN}u + own] - rounded(error * factor);
      }
      if (own == 0u) {
        cosines[next] = least(price);
        let bits = code << (2u * (j % 16u));
        paths[next] = paths[at + before] | select(vec2u(bits, 0u), vec2u(0u, bits), j >= 16u);
      }
    }
    workgroupBarrier();
    let at = (count & 1u) * 4u;
    let path = paths[at + least_of(vec4f(${costs}))];
    if (l < count) {
      let chosen = code_of(path, l);
      let c = book[select(0u, code_of(path, max(l, 1u) - 1u), l > 0u) | (chosen << 2u)];
      codes[start + l] = chosen;
      candidates[HEAD_DIM + start + l] = c;
      candidates[2u * HEAD_DIM + start + l] = c - ys[start + l];
    }
    workgroupBarrier();
    ${applyErrorsText("start", "start", "start + count")}
  }`;
}

/** A value depends on its code and the one before, which are neighbouring bits. */
const chainFields =
  ({ low, shift, before }: UnitWord): CodeFields =>
  (first, count, to) => {
    if (shift + first > 0) return [fieldText(low, shift + 2 * first - 2, 2 * count + 2, to)];
    const codes = fieldText(low, 0, 2 * count, to + 2);
    return before ? [codes, fieldText(before.word, before.shift, 2, to)] : [codes];
  };

export const chains: WgslCodec<TrellisSide> = {
  isBounded: true,
  isChained: true,
  book: {
    centroids: () => TRELLIS_VALUES,
    boundaries: () => [],
    // Four bits, a code and the one before, choose a value; six bits choose two values.
    entries: (_, half) => (half ? 64 : 16),
    entryText: (_, half, at) =>
      half
        ? `pack2x16float(vec2f(centroids[${at}u + (e & 15u)], centroids[${at}u + (e >> 2u)]))`
        : `bitcast<u32>(centroids[${at}u + e])`,
  },
  pairs: (_, use, [word]) => pairTexts(use, BITS, chainFields(word!)),
  rowFactor: rowFactorText,
  store(target) {
    const { name, side, headDim, feedback } = target;
    return codesText(target, {
      bits: BITS,
      rule: side.scale,
      functions: "",
      each: "",
      choose: feedback
        ? feedbackText(name, [1], chainText() + metricText)
        : walkText() + squaresText(headDim, [1], worthText),
    });
  },
};
