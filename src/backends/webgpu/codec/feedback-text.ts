/**
 * @file WGSL of error feedback, a part of `store_k` and `store_v` in append.wgsl, which chooses codes one after the other, and then
 * their scale.
 *
 * The factors of a KV head are a matrix in `constants` that is read row by row. What a thread needs of several rows is loaded before any of
 * it is used, because it comes from far and each sum waits for the one before.
 */
import type { ScaleRule } from "../../../quant/rules.ts";
import { chosenText } from "../queue/shader-text.ts";

/** Coordinates that one invocation rounds in a row before all invocations apply its errors, where lanes do not exchange values. */
const FEEDBACK_BLOCK = 16;
/** Rows of the matrix that are loaded at once. Heads have a multiple of so many coordinates. */
const AT_ONCE = 8;

/** Lanes that exchange values while codes are chosen, of subgroups of this size; 0 for a size that is unknown or does not fit. Votes of 64 are counted. */
export const feedbackLanes = (subgroup: number, threads: number): number =>
  subgroup >= 4 && subgroup <= 64 && threads % subgroup === 0 ? subgroup : 0;

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (texts: readonly string[]): string => texts.join("\n      ");

/** Statements that change `sum`, of coordinate i, by the factors of rows `from` to `to` - 1 above it. next: the sum after row j, whose factor is f */
function rowsText(sum: string, from: string, to: string, next: (j: string, f: string) => string): string {
  return `for (var j = ${from}; j < ${to}; j += ${AT_ONCE}u) {
      ${lines(range(AT_ONCE).map((n) => `let f${n} = constants[feedback_at + (j + ${n}u) * HEAD_DIM + i];`))}
      ${lines(range(AT_ONCE).map((n) => `${sum} = select(${sum}, ${next(`(j + ${n}u)`, `f${n}`)}, j + ${n}u < i);`))}
    }`;
}

/** Takes the errors of coordinates `from` to `to` - 1 from the targets behind them, beginning with `first`. */
export const applyErrorsText = (first: string, from: string, to: string): string => `
    for (var i = ${first} + l; i < HEAD_DIM; i += THREADS) {
      var t = candidates[i];
      ${rowsText("t", from, to, (j, f) => `t - rounded(candidates[2u * HEAD_DIM + ${j}] * ${f})`)}
      candidates[i] = t;
    }`;

/** What chooses among so many boundaries, in which array. */
export interface NearestCode {
  readonly name: string;
  /** The array of the centroids, with the boundaries behind them. */
  readonly book: string;
  readonly bits: number;
  /** Lanes of a subgroup, 0 where they do not exchange values. */
  readonly subgroup: number;
}

/**
 * Chooses for each coordinate the code nearest to its target, which contains the feedback of the errors before it. `candidates`
 * holds the targets, then centroids and errors.
 */
export function nearestText(code: NearestCode): string {
  const block = code.subgroup || FEEDBACK_BLOCK;
  return `
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    candidates[i] = ys[i];
  }
  ${code.subgroup ? boundariesText(code) : ""}
  for (var start = 0u; start < HEAD_DIM; start += ${block}u) {
    let end = min(start + ${block}u, HEAD_DIM);
    workgroupBarrier();
    ${code.subgroup ? lanesText(code) : oneByOneText(code)}
    workgroupBarrier();
    ${block % AT_ONCE === 0 ? applyErrorsText("end", "start", "end") : shortErrorsText}
  }`;
}

/** For blocks that are shorter than AT_ONCE. */
const shortErrorsText = `
    for (var i = end + l; i < HEAD_DIM; i += THREADS) {
      var t = candidates[i];
      for (var j = start; j < end; j++) {
        t = t - rounded(candidates[2u * HEAD_DIM + j] * constants[feedback_at + j * HEAD_DIM + i]);
      }
      candidates[i] = t;
    }`;

/** One invocation rounds a block. */
const oneByOneText = ({ name, book }: NearestCode): string => `if (l == 0u) {
      for (var j = start; j < end; j++) {
        let index = nearest_${name}(candidates[j] * chosen);
        let c = ${book}[index];
        let error = rounded(c * inverse) - ys[j];
        codes[j] = index;
        candidates[HEAD_DIM + j] = c;
        candidates[2u * HEAD_DIM + j] = error;
        for (var i = j + 1u; i < end; i++) {
          candidates[i] = candidates[i] - rounded(error * constants[feedback_at + j * HEAD_DIM + i]);
        }
      }
    }`;

/** The boundaries that a lane compares with. */
const ownBoundaries = ({ bits, subgroup }: NearestCode): number[] => range(Math.ceil((2 ** bits - 1) / subgroup));

function boundariesText(code: NearestCode): string {
  const count = 2 ** code.bits - 1;
  const at = (n: number): string => `min(lane + ${n * code.subgroup}u, ${count - 1}u)`;
  return `let lane = l % ${code.subgroup}u;
  ${lines(ownBoundaries(code).map((n) => `let boundary${n} = ${code.book}[${count + 1}u + ${at(n)}];`))}`;
}

/**
 * The first subgroup rounds a block, of which each lane keeps the target of one coordinate. A code is the number of boundaries below the
 * target, which all lanes count together.
 */
function lanesText(code: NearestCode): string {
  const { book, bits, subgroup } = code;
  const count = 2 ** bits - 1;
  const isBelow = (n: number): string =>
    `boundary${n} < wanted${(n + 1) * subgroup > count ? ` && lane < ${count - n * subgroup}u` : ""}`;
  const counted = ownBoundaries(code).map((n) => `countOneBits(subgroupBallot(${isBelow(n)}).xy)`);
  const group = Math.min(AT_ONCE, subgroup);
  const load = (name: string, from: string): string[] =>
    range(group).map(
      (n) => `${name}${n} = constants[feedback_at + min(${from} + ${n}u, HEAD_DIM - 1u) * HEAD_DIM + i];`,
    );
  const step = (n: number): string => `{
          let j = first + ${n}u;
          let wanted = subgroupShuffle(t, j - start) * chosen;
          let below = ${counted.join(" + ")};
          let index = below.x + below.y;
          let c = ${book}[index];
          let error = rounded(c * inverse) - subgroupShuffle(y, j - start);
          if (i == j) {
            codes[j] = index;
            candidates[HEAD_DIM + j] = c;
            candidates[2u * HEAD_DIM + j] = error;
          }
          t = select(t, t - rounded(error * f${n}), i > j);
        }`;
  return `if (l < ${subgroup}u) {
      let i = min(start + lane, HEAD_DIM - 1u);
      var t = candidates[i];
      let y = ys[i];
      ${lines(load("var ahead", "start"))}
      for (var first = start; first < end; first += ${group}u) {
        ${lines(range(group).map((n) => `let f${n} = ahead${n};`))}
        // The factors of the next steps are under way while these are made.
        ${lines(load("ahead", `first + ${group}u`))}
        ${range(group).map(step).join("\n        ")}
      }
      candidates[i] = t;
    }`;
}

/**
 * Error feedback and the scale in its metric (src/quant/vector-quantizer.ts). `candidates` holds the targets, then centroids,
 * errors, products p, w, and at last w and p times the weights.
 * inverses: those of the factors that were searched · codes: statements that leave codes, targets, centroids and errors
 */
export function feedbackText(name: string, inverses: readonly number[], codes: string): string {
  // Rows of the window have the factors of their side.
  const upper = name.slice(-1).toUpperCase();
  return `
  let inverse = ${chosenText(inverses)};
  let feedback_at = ${upper}_FEEDBACK_AT + head * (HEAD_DIM + 1u) * HEAD_DIM;
  ${codes}
  workgroupBarrier();
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var product = ys[i];
    // Neighbours, of which all have the last one's rows, take the same turns.
    let last = min(i | 31u, HEAD_DIM - 1u);
    ${rowsText("product", "0u", "last", (j, f) => `product + rounded(ys[${j}] * ${f})`)}
    let w = (rounded(candidates[HEAD_DIM + i] * inverse) - candidates[i]) + product;
    let weight = constants[feedback_at + HEAD_DIM * HEAD_DIM + i];
    candidates[3u * HEAD_DIM + i] = product;
    candidates[4u * HEAD_DIM + i] = w;
    candidates[5u * HEAD_DIM + i] = rounded(weight * w);
    candidates[6u * HEAD_DIM + i] = rounded(weight * product);
  }
  workgroupBarrier();
  // The weighted sums of w · w, of w · p and of p · p have four accumulators each.
  if (l < 12u) {
    let a = select(5u, 6u, l >= 8u) * HEAD_DIM;
    let b = select(3u, 4u, l < 4u) * HEAD_DIM;
    var sum = 0.0;
    for (var i = l % 4u; i < HEAD_DIM; i += 4u) {
      sum = sum + rounded(candidates[a + i] * candidates[b + i]);
    }
    sums[l] = sum;
  }
  workgroupBarrier();
  let ww = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  let wp = (sums[4] + sums[5]) + (sums[6] + sums[7]);
  let pp = (sums[8] + sums[9]) + (sums[10] + sums[11]);`;
}

export function metricScaleText(rule: ScaleRule): string {
  if (rule === "norm") return "norm";
  if (rule === "least-squares") return "quotient(rounded(norm * inverse) * wp, ww)";
  return "rounded(norm * inverse) * root(quotient(pp, ww))";
}
