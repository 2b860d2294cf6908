/** @file One case of the KV path: its shape, its rows, and its steps run on a backend. */

import type { AttentionLayer, Buf, ChosenTokens, Ops, Rope, Span, Step, Weight } from "../../src/backends/ops.ts";
import type { QueryGrowth } from "../../src/backends/query-growth.ts";
import { KvCache } from "../../src/cache/kv-cache.ts";
import { layerCache } from "../../src/cache/layer-cache.ts";
import { PagePool } from "../../src/cache/page-pool.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { codecOf } from "../../src/quant/codecs/registry.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { PreparedLayer } from "../../src/quant/prepared-layer.ts";
import { randomCalibration } from "./calibration.ts";
import { upload } from "./wasm-backend.ts";

export interface KvCase {
  readonly kv: string;
  readonly headDim?: number;
  /** Of values; by default that of keys. */
  readonly valueDim?: number;
  readonly numHeads?: number;
  readonly numKvHeads?: number;
  /** Tokens of each step, one after the other on the same sequence; or of each of several sequences, none for 0. */
  readonly steps: readonly (number | readonly number[])[];
  readonly slidingWindow?: number;
  /** Whether queries attend within chunks of `slidingWindow` positions instead. */
  readonly isChunked?: boolean;
  /** Fills the step's q | k | v rows; standard normal by default. */
  readonly fill?: (index: number) => number;
  /** Nothing is attended: scores would be beyond all bounds. */
  readonly pagesOnly?: boolean;
  /** Ordinary keys and values among zeros, constants, spikes, tiny and huge ones and such as are no numbers. */
  readonly awkward?: boolean;
  /** By what the tiny ones are multiplied; by default the squares are subnormal. */
  readonly tiny?: number;
  readonly calibrated?: boolean;
  /** Standard deviation of the scores of ordinary vectors, 1 by default. With small ones a softmax is close to a mean, in which errors average out. */
  readonly sharpness?: number;
  readonly valueScale?: number;
  /** Latent attention: the width of the rotary parts, beside rows of headDim for keys and values. */
  readonly rotaryKeyDim?: number;
  /** AttentionLayer.softcap. */
  readonly softcap?: number;
  /** Whether each query head has a learned logit, of about the size of the scores. */
  readonly sinkLogits?: boolean;
  /** RMS norms of the heads of Q and K, before RoPE or behind it, and of those of V. Sums in other orders then make other pages. */
  readonly norms?: "before" | "turned";
  readonly valueNorm?: boolean;
  /** Rope.queryGrowth. */
  readonly growth?: QueryGrowth;
  /** Changes what was prepared for the layer before it is used. */
  readonly change?: (kv: PreparedLayer) => void;
  /** Angles of RoPE; without them both backends see the same f32 inputs, and the pages must be equal. */
  readonly rope?: boolean;
  /** Whether every other row has a rope of its own (Rope.ofRows), as that of a sequence of another length. */
  readonly ropesOfRows?: boolean;
  /** Attention is to tokens of lists of at most `count`, of which a row has `lists`: 1, or one for each KV head. */
  readonly chosen?: { readonly count: number; readonly lists: number };
  /** Roll back to this length before the last step. */
  readonly trimTo?: number;
  readonly seed?: number;
}

/** Keys and values far beyond 65504, and queries that are small enough for keys to differ in weight. One head of 8. */
export const BEYOND_FLOAT16 = {
  headDim: 8,
  numHeads: 1,
  numKvHeads: 1,
  fill: (index: number): number =>
    Math.fround(new CounterRng(5, 7).gaussian(index) * [1e-6, 1e6, 3e8][Math.floor((index % 24) / 8)]!),
} as const;
/** The value of the first token. */
export const FIRST_VALUE: readonly number[] = Array.from({ length: 8 }, (_, i) => BEYOND_FLOAT16.fill(16 + i));

export function layerOf(c: KvCase): AttentionLayer {
  const { headDim = 64, valueDim = headDim, rotaryKeyDim = 0, numHeads = 2, numKvHeads = 1 } = c;
  const shape = { numKvHeads, headDim, valueDim, rotaryKeyDim };
  const cache = layerCache(parseKvSpec(c.kv).forLayer(0), { ...shape, slidingWindow: c.slidingWindow ?? 0 });
  const calibration = c.calibrated ? randomCalibration(numKvHeads, headDim, undefined, valueDim) : null;
  const kv = new PreparedLayer(cache.format, shape, calibration);
  c.change?.(kv);
  return {
    index: 0,
    numHeads,
    numKvHeads,
    headDim,
    valueDim,
    rotaryKeyDim,
    cache,
    kv,
    slidingWindow: c.slidingWindow ?? 0,
    isChunked: c.isChunked ?? false,
    scale: (c.sharpness ?? 1) / Math.sqrt(headDim + rotaryKeyDim),
    valueScale: c.valueScale ?? 1,
    softcap: c.softcap ?? 0,
    sinkLogits: null,
    qNorm: null,
    kNorm: null,
    rope: 0,
    normEps: 1e-6,
  };
}

export function makeSequence(ops: Ops, layer: AttentionLayer): Sequence {
  const { numKvHeads, headDim, valueDim, rotaryKeyDim, slidingWindow } = layer;
  return new KvCache(
    [{ numKvHeads, headDim, valueDim, rotaryKeyDim, slidingWindow }],
    () => layer.kv.format,
    new PagePool(ops.pages),
  ).createSequence();
}

/** counts: tokens of each sequence */
export function stepOf(sequences: readonly Sequence[], counts: readonly number[]): Step {
  const spans: Span[] = [];
  let row = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0) spans.push({ sequence: sequences[i]!, start: sequences[i]!.length, count, row });
    row += count;
  }
  const positions = spans.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i));
  return { tokens: new Int32Array(row), positions: Int32Array.from(positions), spans, logitRows: new Int32Array(0) };
}

export const countsOf = (counts: number | readonly number[]): readonly number[] =>
  typeof counts === "number" ? [counts] : counts;

/** The most rows of a step with ropes of their own. */
const MOST_ROWS = 128;

export function ropeOf(c: KvCase, layer: AttentionLayer): Rope {
  const headDim = layer.rotaryKeyDim || layer.headDim;
  const angle = (i: number): number => (c.rope ? 10_000 ** ((-2 * i) / headDim) : 0);
  const invFreq = Float64Array.from({ length: headDim / 2 }, (_, i) => angle(i));
  const rope = { invFreq, attentionFactor: 1, ...(c.growth && { queryGrowth: c.growth }) };
  if (!c.ropesOfRows) return rope;
  const other = { invFreq: invFreq.map((f) => f / 3), attentionFactor: 1.25 };
  return { ...rope, ofRows: Array.from({ length: MOST_ROWS }, (_, row) => (row % 2 === 0 ? rope : other)) };
}

/** Values of a row of queries, and of a row of q | k | v, or of q | latent | rotary part. */
const queryWidthOf = ({ numHeads, headDim, rotaryKeyDim }: AttentionLayer): number =>
  numHeads * (headDim + rotaryKeyDim);
const widthOf = (layer: AttentionLayer): number => {
  const { numKvHeads, headDim, valueDim, rotaryKeyDim } = layer;
  return (
    queryWidthOf(layer) + headDim + (rotaryKeyDim > 0 ? rotaryKeyDim : numKvHeads * (headDim + valueDim) - headDim)
  );
};

/** Lists of about `count` tokens for each row, its own always among them; of all its tokens where it has no more. */
function uploadChosen(ops: Ops, step: Step, { count, lists }: NonNullable<KvCase["chosen"]>): ChosenTokens {
  const rng = new CounterRng(4, 21);
  const positions = new Float32Array(step.tokens.length * lists * count).fill(-1);
  for (const [row, position] of step.positions.entries()) {
    for (let list = 0; list < lists; list++) {
      const first = (row * lists + list) * count;
      let to = first;
      for (let token = 0; token <= position; token++) {
        const isTaken =
          position < count || token === position || rng.uniform((first + 1) * 4096 + token) < (0.9 * count) / position;
        if (isTaken && (token === position || to < first + count - 1)) positions[to++] = token;
      }
    }
  }
  return { positions: upload(ops, positions), count, lists };
}

/** Appends rows of q | k | v, and leaves the queries; latent attention is given the two parts of a row apart. returns: queries */
export function appendRows(ops: Ops, step: Step, layer: AttentionLayer, rope: Rope, rows: Float32Array): Buf {
  const [width, queryWidth] = [widthOf(layer), queryWidthOf(layer)];
  const count = rows.length / width;
  if (layer.rotaryKeyDim === 0) {
    const qkv = upload(ops, rows);
    const q = ops.alloc(count * queryWidth);
    ops.beginStep(step, [rope]);
    ops.appendKv(step, layer, qkv, q);
    ops.free(qkv);
    return q;
  }
  const columns = (from: number, to: number): Float32Array =>
    Float32Array.from({ length: count * (to - from) }, (_, at) => {
      const row = Math.floor(at / (to - from));
      return rows[row * width + from + (at % (to - from))]!;
    });
  const q = upload(ops, columns(0, queryWidth));
  const latent = upload(ops, columns(queryWidth, width));
  ops.beginStep(step, [rope]);
  ops.appendLatent(step, layer, latent, q);
  ops.free(latent);
  return q;
}

/** Normal values that cases take theirs from, since to draw them would take longer than the case; a prime number, so that no two rows are the same. */
const NORMALS = 65_521;
const normals = new Float32Array(NORMALS);
const rng = new CounterRng(11, 3);
for (let i = 0; i < NORMALS; i++) normals[i] = rng.gaussian(i);

/** Rows of q | k | v, step after step. */
export function rowsOf(c: KvCase, layer: AttentionLayer): (count: number) => Float32Array {
  const width = widthOf(layer);
  const first = 4999 * (c.seed ?? 0);
  const fill = c.fill ?? ((i: number) => normals[(first + i) % NORMALS]!);
  let drawn = 0;
  return (count) => {
    const row = drawn / width;
    const rows = new Float32Array(count * width);
    for (let i = 0; i < rows.length; i++) rows[i] = fill(drawn++);
    if (c.awkward) makeAwkward(rows, row, layer, c.tiny ?? 1e-20);
    return rows;
  };
}

const multiply = (x: Float32Array, factor: number): void => x.set(x.map((value) => value * factor));

/** Queries stay ordinary: they are multiplied and not stored. */
function makeAwkward(
  rows: Float32Array,
  first: number,
  { numHeads, numKvHeads, headDim }: AttentionLayer,
  tiny: number,
): void {
  const parts = numHeads + 2 * numKvHeads;
  for (let at = 0; at < rows.length / headDim; at++) {
    const part = at % parts;
    if (part < numHeads) continue;
    const row = first + Math.floor(at / parts);
    const x = rows.subarray(at * headDim, (at + 1) * headDim);
    switch ((row + 3 * (part - numHeads)) % 16) {
      case 0:
        x.fill(0);
        break;
      case 1:
        x.fill(0.25);
        break;
      case 2:
        x.fill(0)[row % headDim] = 60;
        break;
      case 3:
        multiply(x, tiny);
        break;
      case 4:
        multiply(x, 1e4);
        break;
      case 5:
        multiply(x, 1e30);
        break;
      case 6:
        x.set(x.map(Math.sign));
        break;
      case 7:
        // RoPE would spread these over a key's pair.
        if (part >= numHeads + numKvHeads) x.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]);
    }
  }
}

/** What a backend made of a case. */
export interface CaseRun {
  /** Of each step. */
  readonly queries: readonly Float32Array[];
  readonly outputs: readonly Float32Array[];
  /** Still holding their pages. */
  readonly sequences: readonly Sequence[];
}

/** Runs the steps on one backend, which gets a weight of its own for what `layerOf` leaves to it. next: see `rowsOf` */
export async function runCase(
  ops: Ops,
  c: KvCase,
  described: AttentionLayer,
  next = rowsOf(c, described),
): Promise<CaseRun> {
  const layer = onBackend(ops, c, described);
  const { numHeads, valueDim } = layer;
  const sequences = countsOf(c.steps[0]!).map(() => makeSequence(ops, layer));
  const queryWidth = queryWidthOf(layer);
  const rope = ropeOf(c, layer);
  const [queries, outputs]: Float32Array[][] = [[], []];
  for (const [index, each] of c.steps.entries()) {
    const counts = countsOf(each);
    if (c.trimTo !== undefined && index === c.steps.length - 1) for (const s of sequences) s.trim(c.trimTo);
    for (const [i, count] of counts.entries()) if (count > 0) sequences[i]!.reserve(count);
    const step = stepOf(sequences, counts);
    const rows = step.tokens.length;
    const chosen = c.chosen && uploadChosen(ops, step, c.chosen);
    const q = appendRows(ops, step, layer, rope, next(rows));
    const out = ops.alloc(rows * numHeads * valueDim);
    if (!c.pagesOnly) ops.attend(step, layer, q, out, chosen);
    queries!.push(await ops.readback(q, rows * queryWidth));
    if (!c.pagesOnly) outputs!.push(await ops.readback(out, rows * numHeads * valueDim));
    for (const [i, count] of counts.entries()) if (count > 0) sequences[i]!.commit(count);
    for (const buf of [q, out, ...(chosen ? [chosen.positions] : [])]) ops.free(buf);
  }
  for (const weight of ownWeights(layer)) ops.freeWeight(weight);
  return { queries: queries!, outputs: outputs!, sequences };
}

/** The layer with a backend's own weights: learned logits from far below the logarithm of a sum of weights to above it; norms of heads. */
export function onBackend(ops: Ops, c: KvCase, layer: AttentionLayer): AttentionLayer {
  const vector = (length: number, value: (i: number) => number): Weight => {
    const data = Float32Array.from({ length }, (_, i) => value(i));
    return ops.loadWeight([{ dtype: "f32", rows: 1, cols: length, data: new Uint8Array(data.buffer) }], "f32");
  };
  const norm = (seed: number): Weight => vector(layer.headDim, (i) => 1 + 0.3 * new CounterRng(seed, 9).gaussian(i));
  return {
    ...layer,
    ...(c.sinkLogits && { sinkLogits: vector(layer.numHeads, (head) => [3, 6, -2, 9][head % 4]! + head / 16) }),
    ...(c.norms && { qNorm: norm(1), kNorm: norm(2), normsTurned: c.norms === "turned" }),
    ...(c.valueNorm && { vNorm: norm(3) }),
  };
}

const ownWeights = ({ sinkLogits, qNorm, kNorm, vNorm }: AttentionLayer): Weight[] =>
  [sinkLogits, qNorm, kNorm, vNorm].filter((weight) => weight !== null && weight !== undefined);

/** Widest codes of either side, those of a window included, 0 for none. */
export function codeBitsOf(c: KvCase): number {
  const { k, v, windowBits = 0 } = parseKvSpec(c.kv).forLayer(0);
  return Math.max(windowBits, ...[k, v].map((side) => (codecOf(side).recipeOf ? codecOf(side).bitsOf(side) : 0)));
}
