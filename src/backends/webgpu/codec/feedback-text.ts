/**
 * @file WGSL of error feedback, a part of `store_k` and `store_v` in append.wgsl, which chooses codes one after the other, and then
 * their scale.
 */
import type { ScaleRule } from "../../../quant/rules.ts";
import { chosenText } from "../queue/shader-text.ts";

/** Coordinates that one invocation rounds in a row before all invocations apply its errors. */
const FEEDBACK_BLOCK = 16;

/**
 * Chooses for each coordinate the code nearest to its target, which contains the feedback of the errors before it. `candidates`
 * holds the targets, then centroids and errors. book: the array of the centroids
 */
export function nearestText(name: string, book: string): string {
  return `
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    candidates[i] = ys[i];
  }
  for (var start = 0u; start < HEAD_DIM; start += ${FEEDBACK_BLOCK}u) {
    let end = min(start + ${FEEDBACK_BLOCK}u, HEAD_DIM);
    workgroupBarrier();
    if (l == 0u) {
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
    }
    workgroupBarrier();
    for (var i = end + l; i < HEAD_DIM; i += THREADS) {
      var t = candidates[i];
      for (var j = start; j < end; j++) {
        t = t - rounded(candidates[2u * HEAD_DIM + j] * constants[feedback_at + j * HEAD_DIM + i]);
      }
      candidates[i] = t;
    }
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
    for (var j = 0u; j < i; j++) {
      product = product + rounded(ys[j] * constants[feedback_at + j * HEAD_DIM + i]);
    }
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
