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
/** Coordinates that a lane keeps at most, where lanes exchange values, and about the factors that it has under way. */
const MOST_OWN = 16;
const LOADS = 16;
/** Rows of the matrix that are loaded at once. Heads have a multiple of so many coordinates. */
const AT_ONCE = 8;

/**
 * Lanes that exchange values while codes are chosen, of subgroups of this size; 0 for a size that is unknown or does not fit, and for heads
 * of which a lane would keep too much. Votes of 64 are counted.
 */
export const feedbackLanes = (subgroup: number, threads: number, headDim: number): number =>
  subgroup >= 4 && subgroup <= 64 && threads % subgroup === 0 && headDim <= subgroup * MOST_OWN ? subgroup : 0;

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
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

/** Words of `candidates`, which codes with feedback need, and a trellis more. */
export const candidateWords = (headDim: number, hasFeedback: boolean, isChained: boolean): number =>
  hasFeedback ? (isChained ? 4 * headDim + 256 : 3 * headDim) : 0;

/**
 * Statements that leave the terms of three sums for coordinate i: with w, what its code is off in the metric of the factors, and p, the
 * vector itself in that metric, the weighted w · w, w · p and p · p.
 */
const termsText = (i: string, worth: string, target: string, p: string): string => `{
      let w = (${worth} - ${target}) + ${p};
      let weight = constants[feedback_at + HEAD_DIM * HEAD_DIM + ${i}];
      let weighted = rounded(weight * w);
      candidates[${i}] = rounded(weighted * w);
      candidates[HEAD_DIM + ${i}] = rounded(weighted * ${p});
      candidates[2u * HEAD_DIM + ${i}] = rounded(rounded(weight * ${p}) * ${p});
    }`;

/** Statements that leave these terms in the place of targets, centroids and errors. */
export const metricText = `
  workgroupBarrier();
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var product = ys[i];
    // Neighbours, of which all have the last one's rows, take the same turns.
    let last = min(i | 31u, HEAD_DIM - 1u);
    ${rowsText("product", "0u", "last", (j, f) => `product + rounded(ys[${j}] * ${f})`)}
    let worth = rounded(candidates[HEAD_DIM + i] * inverse);
    let wanted = candidates[i];
    ${termsText("i", "worth", "wanted", "product")}
  }`;

/** What chooses among so many boundaries, in which array. */
export interface NearestCode {
  readonly name: string;
  /** Expression of entry `index` of the centroids and the boundaries behind them. */
  readonly book: (index: string) => string;
  readonly bits: number;
  readonly headDim: number;
  /** Lanes of a subgroup, 0 where they do not exchange values. */
  readonly subgroup: number;
}

/**
 * Chooses for each coordinate the code nearest to its target, which contains the feedback of the errors before it, and leaves the terms
 * of the sums. Meanwhile `candidates` holds the targets, then centroids and errors, where lanes do not keep them.
 */
export function nearestText(code: NearestCode): string {
  if (code.subgroup > 0) return lanesText(code);
  return `
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    candidates[i] = ys[i];
  }
  for (var start = 0u; start < HEAD_DIM; start += ${FEEDBACK_BLOCK}u) {
    let end = min(start + ${FEEDBACK_BLOCK}u, HEAD_DIM);
    workgroupBarrier();
    ${oneByOneText(code)}
    workgroupBarrier();
    ${applyErrorsText("end", "start", "end")}
  }
  ${metricText}`;
}

/** One invocation rounds a block. */
const oneByOneText = ({ name, book }: NearestCode): string => `if (l == 0u) {
      for (var j = start; j < end; j++) {
        let index = nearest_${name}(candidates[j] * chosen);
        let c = ${book("index")};
        let error = rounded(c * inverse) - ys[j];
        codes[j] = index;
        candidates[HEAD_DIM + j] = c;
        candidates[2u * HEAD_DIM + j] = error;
        for (var i = j + 1u; i < end; i++) {
          candidates[i] = candidates[i] - rounded(error * constants[feedback_at + j * HEAD_DIM + i]);
        }
      }
    }`;

/**
 * The first subgroup rounds the vector: each lane keeps the targets of some coordinates, SUBGROUP apart, and the boundaries above some
 * codes, one after the other. A code is the number of boundaries below the target: lanes whose last boundary is below it vote, and the
 * first lane that does not has the code among its own and hands out what it is worth. Then all targets behind are changed by the error,
 * and the sums p go along, because they take the same factors.
 */
function lanesText(code: NearestCode): string {
  const { book, bits, subgroup, headDim } = code;
  const own = Math.ceil(2 ** bits / subgroup);
  const count = 2 ** bits - 1;
  // Lanes from here on have no boundary above their last code.
  const voters = Math.floor(count / own);
  const blocks = range(Math.ceil(headDim / subgroup));
  const step = Math.min(subgroup, 2 ** Math.max(0, Math.floor(Math.log2(LOADS / blocks.length))));
  const isPartial = (q: number): boolean => (q + 1) * subgroup > headDim;
  const behind = (q: number): number[] => blocks.slice(q);
  const load = (ahead: (n: number, q: number) => string, q: number, from: string): string[] =>
    range(step).flatMap((n) => [
      `let row${n} = feedback_at + min(${from} + ${n}u, HEAD_DIM - 1u) * HEAD_DIM;`,
      ...behind(q).map((r) => `${ahead(n, r)} = constants[row${n} + i${r}];`),
    ]);
  const isBelow = `boundary${own - 1} < wanted && lane < ${voters}u`;
  const ownText =
    own === 1
      ? ""
      : `let own_code = lane * ${own}u + ${range(own - 1)
          .map((n) => `u32(boundary${n} < wanted)`)
          .join(" + ")};
          let own_worth = rounded(${book("own_code")} * inverse);`;
  const stepText = (q: number, n: number): string => `{
          let at = first + ${n}u;
          let wanted = subgroupShuffle(t${q}, at) * chosen;
          let y = subgroupShuffle(y${q}, at);
          ${ownText}
          let votes = subgroupBallot(${isBelow});
          let owner = countOneBits(votes.x)${subgroup > 32 ? " + countOneBits(votes.y)" : ""};
          let worth = subgroupShuffle(own_worth, owner);
          let error = worth - y;
          code${q} = select(code${q}, ${own === 1 ? "owner" : "subgroupShuffle(own_code, owner)"}, lane == at);
          worth${q} = select(worth${q}, worth, lane == at);
          t${q} = select(t${q}, t${q} - rounded(error * f${n}_${q}), lane > at);
          p${q} = select(p${q}, p${q} + rounded(y * f${n}_${q}), lane > at);
          ${lines(behind(q + 1).flatMap((r) => [`t${r} = t${r} - rounded(error * f${n}_${r});`, `p${r} = p${r} + rounded(y * f${n}_${r});`]))}
        }`;
  const blockText = (q: number): string => `{
        ${range(step)
          .flatMap((n) => behind(q).map((r) => `var ahead${n}_${r} = 0.0;`))
          .join(" ")}
        {
          ${lines(load((n, r) => `ahead${n}_${r}`, q, `${q * subgroup}u`))}
        }
        for (var first = 0u; first < ${Math.min(subgroup, headDim - q * subgroup)}u; first += ${step}u) {
          ${lines(range(step).flatMap((n) => behind(q).map((r) => `let f${n}_${r} = ahead${n}_${r};`)))}
          // The factors of the next steps are under way while these are made.
          ${lines(load((n, r) => `ahead${n}_${r}`, q, `${q * subgroup + step}u + first`))}
          ${range(step)
            .map((n) => stepText(q, n))
            .join("\n        ")}
        }
      }`;
  const keepText = (q: number): string => `codes[i${q}] = code${q};
        ${termsText(`i${q}`, `worth${q}`, `t${q}`, `p${q}`)}`;
  return `
  if (l < ${subgroup}u) {
    let lane = l;
    ${lines(range(own).map((n) => `let boundary${n} = ${book(`${count + 1}u + min(lane * ${own}u + ${n}u, ${count - 1}u)`)};`))}
    ${own === 1 ? `let own_worth = rounded(${book(`min(lane, ${count}u)`)} * inverse);` : ""}
    ${lines(
      blocks.flatMap((q) => [
        `let i${q} = ${isPartial(q) ? `min(lane + ${q * subgroup}u, HEAD_DIM - 1u)` : `lane + ${q * subgroup}u`};`,
        `let y${q} = ys[i${q}];`,
        `var t${q} = y${q};`,
        `var p${q} = y${q};`,
        `var code${q} = 0u;`,
        `var worth${q} = 0.0;`,
      ]),
    )}
    ${lines(blocks.map(blockText))}
    ${lines(blocks.map((q) => (isPartial(q) ? `if (lane < ${headDim - q * subgroup}u) {\n${keepText(q)}\n}` : keepText(q))))}
  }`;
}

/**
 * Error feedback and the scale in its metric (src/quant/vector-quantizer.ts).
 * inverses: those of the factors that were searched · codes: statements that leave codes, and the terms of the sums in `candidates`
 */
export function feedbackText(name: string, inverses: readonly number[], codes: string): string {
  // Rows of the window have the factors of their side.
  const upper = name.slice(-1).toUpperCase();
  return `
  let inverse = ${chosenText(inverses)};
  let feedback_at = ${upper}_FEEDBACK_AT + head * (HEAD_DIM + 1u) * HEAD_DIM;
  ${codes}
  workgroupBarrier();
  // The weighted sums of w · w, of w · p and of p · p have four accumulators each.
  if (l < 12u) {
    let terms = l / 4u * HEAD_DIM;
    var sum = 0.0;
    for (var i = l % 4u; i < HEAD_DIM; i += 4u) {
      sum = sum + candidates[terms + i];
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
