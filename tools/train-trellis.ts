/**
 * @file Trains the sixteen values of the trellis in src/quant/trellis.ts: `npx tsx tools/train-trellis.ts [STARTS]`.
 *
 * Lloyd's iterations from random values on runs of Gaussian coordinates, with Viterbi's algorithm in place of the nearest centroid.
 * They end in one of many local optima, so there are many starts. The best one continues with more runs and is judged on others.
 */
import { CounterRng } from "../src/math/rng.ts";
import { TRELLIS_RUN, TRELLIS_VALUES } from "../src/quant/trellis.ts";
import { readArguments, refuse } from "./command-line.ts";

const STATES = 4;

/** `count` runs of coordinates, one after the other. */
function gaussianRuns(seed: number, count: number): Float64Array {
  const rng = new CounterRng(seed, 0);
  return Float64Array.from({ length: count * TRELLIS_RUN }, (_, i) => rng.gaussian(i));
}

const from = new Uint8Array(TRELLIS_RUN * STATES);

/** Squared error of the best chain of each run. Coordinates are added to the sum of the value they are mapped to. */
function codeRuns(runs: Float64Array, values: ArrayLike<number>, sums: Float64Array, counts: Float64Array): number {
  let total = 0;
  for (let start = 0; start < runs.length; start += TRELLIS_RUN) {
    let cost = [0];
    for (let j = 0; j < TRELLIS_RUN; j++) {
      const costs: number[] = [];
      for (let code = 0; code < STATES; code++) {
        let least = Number.POSITIVE_INFINITY;
        for (let before = 0; before < cost.length; before++) {
          const price = cost[before]! + (runs[start + j]! - values[before | (code << 2)]!) ** 2;
          if (price >= least) continue;
          least = price;
          from[j * STATES + code] = before;
        }
        costs.push(least);
      }
      cost = costs;
    }
    const least = Math.min(...cost);
    total += least;
    let state = cost.indexOf(least);
    for (let j = TRELLIS_RUN - 1; j >= 0; j--) {
      const before = from[j * STATES + state]!;
      const place = before | (state << 2);
      sums[place] = sums[place]! + runs[start + j]!;
      counts[place] = counts[place]! + 1;
      state = before;
    }
  }
  return total / runs.length;
}

function train(runs: Float64Array, first: readonly number[], iterations: number): { values: number[]; error: number } {
  let values = [...first];
  let error = 0;
  for (let i = 0; i < iterations; i++) {
    const sums = new Float64Array(values.length);
    const counts = new Float64Array(values.length);
    error = codeRuns(runs, values, sums, counts);
    values = values.map((value, place) => (counts[place]! > 0 ? sums[place]! / counts[place]! : value));
  }
  return { values, error };
}

const [asked = "600"] = readArguments();
const starts = Number(asked);
if (!Number.isInteger(starts) || starts < 1) refuse(`expected a number of starts, got ${asked}`);
const trainingRuns = gaussianRuns(1, 2000);
const rng = new CounterRng(2, 0);
let best = { values: [] as number[], error: Number.POSITIVE_INFINITY };
for (let start = 0; start < starts; start++) {
  const first = Array.from({ length: 16 }, (_, i) => rng.gaussian(16 * start + i));
  const found = train(trainingRuns, first, 40);
  if (found.error < best.error) best = found;
  process.stderr.write(`\rstart ${start + 1} of ${starts}: ${found.error.toFixed(5)}, best ${best.error.toFixed(5)}`);
}
const { values } = train(gaussianRuns(3, 20_000), best.values, 20);
const rounded = values.map((value) => Number(value.toFixed(4)));
const testRuns = gaussianRuns(4, 100_000);
const testError = (of: ArrayLike<number>): string =>
  codeRuns(testRuns, of, new Float64Array(16), new Float64Array(16)).toFixed(5);
process.stdout.write(
  `\n${rounded.join(", ")}\nerror ${testError(rounded)}, of the values in use ${testError(TRELLIS_VALUES)}\n`,
);
