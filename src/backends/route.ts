/** @file The choice of experts in plain TypeScript, which defines its numbers and is what backends on the CPU run. */
import { TurboQuantError } from "../errors.ts";
import type { Router, RouterGroups, RouterScore } from "./experts.ts";

/** The vectors of a router, [numExperts] each. */
export interface RouterVectors {
  readonly bias: Float32Array | null;
  readonly expertScales: Float32Array | null;
}

/** What the choice of one row needs beside it; kept between rows, so that decoding allocates nothing. */
export class RouteScratch {
  scores = new Float64Array(0);
  keys = new Float64Array(0);
  groups = new Float64Array(0);

  ensure(numExperts: number, numGroups: number): void {
    if (this.scores.length < numExperts) {
      this.scores = new Float64Array(numExperts);
      this.keys = new Float64Array(numExperts);
    }
    if (this.groups.length < numGroups) this.groups = new Float64Array(numGroups);
  }
}

/**
 * See `Ops.route`. Of equal experts the first is taken.
 *
 * logits: of the row from `at` on · vectors: those of the router · routes: the row's are written from `to` on
 */
export function routeRow(
  router: Router,
  logits: Float32Array,
  at: number,
  { bias, expertScales }: RouterVectors,
  routes: Float32Array,
  to: number,
  scratch: RouteScratch,
): void {
  const { numExperts, topK, score, groups } = router;
  scratch.ensure(numExperts, groups?.count ?? 0);
  const { scores, keys } = scratch;
  for (let e = 0; e < numExperts; e++) scores[e] = logits[at + e]!;
  if (score === "sparsemixer") mixSparsely(scores, keys, router, routes, to);
  else chooseByScore(router, score, bias, routes, to, scratch);
  if (!expertScales) return;
  for (let k = 0; k < topK; k++) routes[to + topK + k] = routes[to + topK + k]! * expertScales[routes[to + k]!]!;
}

/** Scores all or the chosen, and takes the best. */
function chooseByScore(
  router: Router,
  score: Exclude<RouterScore, "sparsemixer">,
  bias: Float32Array | null,
  routes: Float32Array,
  to: number,
  { scores, keys, groups: worth }: RouteScratch,
): void {
  const { numExperts, topK, scoresChosen, groups } = router;
  if (!scoresChosen) scoreAll(scores, numExperts, score);
  for (let e = 0; e < numExperts; e++) keys[e] = scores[e]! + (bias ? bias[e]! : 0);
  if (groups && groups.chosen < groups.count) keepBestGroups(keys, numExperts, groups, worth);
  for (let k = 0; k < topK; k++) {
    const best = takeBest(keys, numExperts);
    routes[to + k] = best;
    routes[to + topK + k] = scores[best]!;
  }
  if (scoresChosen) scoreAll(routes.subarray(to + topK, to + 2 * topK), topK, score);
  scaleWeights(router, routes, to);
}

/** The weights of a row's experts, by their scores. */
function scaleWeights({ topK, scale, normalizes, epsilon }: Router, routes: Float32Array, to: number): void {
  let factor = scale;
  if (normalizes) {
    let sum = epsilon;
    for (let k = 0; k < topK; k++) sum += routes[to + topK + k]!;
    factor /= sum;
  }
  for (let k = 0; k < topK; k++) routes[to + topK + k] = routes[to + topK + k]! * factor;
}

/**
 * See `Ops.routeTokens`. experts: those of the row's token, from `first` on
 * @throws TurboQuantError invalid_file — a number that no expert has
 */
export function routeToken(
  router: Router,
  logits: Float32Array,
  at: number,
  experts: Float32Array,
  first: number,
  routes: Float32Array,
  to: number,
  scratch: RouteScratch,
): void {
  const { numExperts, topK, score } = router;
  scratch.ensure(numExperts, 0);
  const { scores } = scratch;
  for (let e = 0; e < numExperts; e++) scores[e] = logits[at + e]!;
  if (score !== "sparsemixer") scoreAll(scores, numExperts, score);
  for (let k = 0; k < topK; k++) {
    const expert = experts[first + k]!;
    if (!(expert >= 0 && expert < numExperts))
      throw new TurboQuantError(
        "invalid_file",
        `weights: the table of experts by token names expert ${expert} of ${numExperts}; download the checkpoint again`,
        { expert },
      );
    routes[to + k] = expert;
    routes[to + topK + k] = scores[expert]!;
  }
  scaleWeights(router, routes, to);
}

/** The index of the largest key, which is no longer a candidate afterwards. Where none is a number, the first that is left. */
function takeBest(keys: Float64Array, count: number): number {
  let best = -1;
  for (let e = 0; e < count; e++) {
    if (keys[e]! > (best < 0 ? Number.NEGATIVE_INFINITY : keys[best]!)) best = e;
  }
  if (best < 0) {
    best = 0;
    while (best + 1 < count && keys[best] === Number.NEGATIVE_INFINITY) best++;
  }
  keys[best] = Number.NEGATIVE_INFINITY;
  return best;
}

/** Scores in the place of logits. */
function scoreAll(
  values: Float32Array | Float64Array,
  count: number,
  score: Exclude<RouterScore, "sparsemixer">,
): void {
  if (score === "sigmoid") {
    for (let e = 0; e < count; e++) values[e] = 1 / (1 + Math.exp(-values[e]!));
    return;
  }
  if (score === "sqrtsoftplus") {
    // Of large numbers as it is, since the exponential is no number.
    for (let e = 0; e < count; e++)
      values[e] = Math.sqrt(values[e]! > 40 ? values[e]! : Math.log1p(Math.exp(values[e]!)));
    return;
  }
  let most = Number.NEGATIVE_INFINITY;
  for (let e = 0; e < count; e++) most = Math.max(most, values[e]!);
  let sum = 0;
  for (let e = 0; e < count; e++) sum += Math.exp(values[e]! - most);
  for (let e = 0; e < count; e++) values[e] = Math.exp(values[e]! - most) / sum;
}

/** Experts of other groups than the best ones are no candidates. */
function keepBestGroups(keys: Float64Array, numExperts: number, groups: RouterGroups, worth: Float64Array): void {
  const size = numExperts / groups.count;
  for (let g = 0; g < groups.count; g++) {
    let [first, second] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let e = g * size; e < (g + 1) * size; e++) {
      const key = keys[e]!;
      if (key > first) [first, second] = [key, first];
      else if (key > second) second = key;
    }
    worth[g] = groups.by === "best" || size < 2 ? first : first + second;
  }
  // A group is out when as many as are chosen are worth more, or as much and come before it.
  for (let g = 0; g < groups.count; g++) {
    let before = 0;
    for (let other = 0; other < groups.count; other++) {
      if (worth[other]! > worth[g]! || (worth[other] === worth[g] && other < g)) before++;
    }
    if (before >= groups.chosen) keys.fill(Number.NEGATIVE_INFINITY, g * size, (g + 1) * size);
  }
}

function mixSparsely(
  logits: Float64Array,
  keys: Float64Array,
  { numExperts, topK, jitter, scale }: Router,
  routes: Float32Array,
  to: number,
): void {
  for (let e = 0; e < numExperts; e++) keys[e] = logits[e]!;
  for (let k = 0; k < topK; k++) {
    let best = 0;
    for (let e = 1; e < numExperts; e++) if (keys[e]! > keys[best]!) best = e;
    const most = keys[best]!;
    let sum = 0;
    for (let e = 0; e < numExperts; e++) {
      // Compared without a quotient, which is no number where logits are 0. What is not finite stays visible in the sum.
      const isFarBelow = most - logits[e]! > 2 * jitter * Math.max(Math.abs(logits[e]!), most);
      if (!isFarBelow) sum += Math.exp(keys[e]! - most);
    }
    routes[to + k] = best;
    routes[to + topK + k] = scale / sum;
    keys[best] = Number.NEGATIVE_INFINITY;
  }
}
