/** @file Fits a calibration: reads sequences through an exact cache, adds up moments layer by layer, and designs the maps. */
import { widenedColumns } from "../../models/blocks/stored-heads.ts";
import type { Decoder } from "../../models/decoder.ts";
import { ropeFor } from "../../models/rope.ts";
import type { OnProgress } from "../../platform.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import { designLayer, type PredictedNoise } from "../../quant/design-calibration.ts";
import { LayerMoments } from "../../quant/layer-moments.ts";
import { RopeAverage, turnsOf } from "../../quant/rope-average.ts";
import { tapAttention } from "../attention-tap.ts";
import { yieldNow } from "../yield-now.ts";
import { type CalibratedLayer, requireCalibratedLayers } from "./calibrated-layers.ts";

export interface FitOptions {
  /** What is read, each sequence from an empty cache. */
  readonly sequences: readonly Int32Array[];
  /** Positions of the longest sequence that the calibration is for, whatever the length of those that are read. */
  readonly positions: number;
  /** Reads an output projection, [hidden][numHeads·valueDim], `isTransposed`, or [numExperts·hidden][numKvHeads·valueDim], by the name of its tensor. */
  readonly readOutput: (name: string) => Promise<Float32Array>;
  /** Told after the first step what all of it will take; false ends it. */
  readonly onEstimate?: (seconds: number) => boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface Fitted {
  /** One for each layer of the model; null for layers without keys and values. */
  readonly layers: readonly (LayerCalibration | null)[];
  /** Layers that have keys and values. */
  readonly attentionLayers: readonly number[];
  /** Number of tokens read. */
  readonly tokens: number;
  /** Positions that it is for. */
  readonly positions: number;
  /** [layer with keys and values][KV head]: noise with transform and error feedback over noise of a plain rotation, in the limit of many bits. */
  readonly predicted: readonly (readonly PredictedNoise[])[];
}

/** Moments of one layer, of queries and keys before RoPE where that can be undone. */
interface Collected extends CalibratedLayer {
  readonly moments: LayerMoments;
  /** [headDim / 2]; null where vectors are taken as they are. */
  readonly invFreq: Float64Array | null;
  /** Positions for which the frequencies are these. */
  readonly upTo: number;
}

/**
 * returns: null when `onEstimate` ended it
 * @throws TurboQuantError unsupported — a model that cannot be calibrated
 */
export async function fitCalibration(decoder: Decoder, options: FitOptions): Promise<Fitted | null> {
  const { sequences, positions, signal, onProgress } = options;
  const longest = Math.max(...sequences.map(({ length }) => length));
  const collected = collectors(decoder, longest);
  const total = sequences.reduce((sum, { length }) => sum + length, 0);
  const startedAt = performance.now();
  let done = 0;
  let goesOn = true;
  for (const tokens of sequences) {
    let shared = new Map<string, Float64Array>();
    await tapAttention(decoder, tokens, {
      signal,
      onRows(layer, rows, first) {
        const { moments, invFreq } = collected[layer]!;
        const count = rows.keys.length / (moments.shape.numKvHeads * moments.shape.headDim);
        moments.add(rows, first, invFreq && turnsFor(shared, invFreq, first, count));
      },
      onTokens(read) {
        // Every step has other positions.
        shared = new Map();
        if (done === 0 && read < total) {
          const reading = ((performance.now() - startedAt) / 1000 / read) * total;
          goesOn = options.onEstimate?.(reading + secondsToDesign(decoder, collected)) ?? true;
        }
        onProgress?.({ phase: "calibrate", item: "reading", done: done + read, total, unit: "tokens" });
        return goesOn;
      },
    });
    if (!goesOn) return null;
    done += tokens.length;
  }
  const layers: (LayerCalibration | null)[] = Array.from({ length: decoder.config.numLayers }, () => null);
  const predicted: (readonly PredictedNoise[])[] = [];
  const averages = new Map<string, RopeAverage>();
  for (const [index, own] of collected.entries()) {
    const { layer, output, isTransposed, numExperts, valueDim, moments, invFreq, upTo } = own;
    signal?.throwIfAborted();
    const average = invFreq && averageFor(averages, invFreq, Math.max(longest, Math.min(positions, upTo)));
    const { numHeads, numKvHeads } = moments.shape;
    const stored = await options.readOutput(output);
    const ofHeads = numExperts > 1 ? ofAnyExpert(stored, { numExperts, numHeads, numKvHeads, valueDim }) : stored;
    const plain = isTransposed ? transposed(ofHeads, numHeads * valueDim) : ofHeads;
    const weight = widenedColumns(plain, numHeads, valueDim);
    const design = designLayer(moments, weight, average);
    layers[layer] = design.calibration;
    predicted.push(design.predicted);
    onProgress?.({ phase: "calibrate", item: "solving", done: index + 1, total: collected.length, unit: "tensors" });
    await yieldNow();
  }
  return { layers, attentionLayers: collected.map(({ layer }) => layer), tokens: total, positions, predicted };
}

/**
 * The matrices of all experts, one below the other, as if each head were of all of them: which one it is depends on the token, and the mean over experts
 * of what an error in a value becomes is that of these rows over the root of their number.
 *
 * stored: [numExperts·hidden][numKvHeads·valueDim] · returns: [numExperts·hidden][numHeads·valueDim], the heads of a KV head beside each other
 */
function ofAnyExpert(
  stored: Float32Array,
  of: {
    readonly numExperts: number;
    readonly numHeads: number;
    readonly numKvHeads: number;
    readonly valueDim: number;
  },
): Float32Array {
  const { numExperts, numHeads, numKvHeads, valueDim } = of;
  const group = numHeads / numKvHeads;
  const out = new Float32Array(stored.length * group);
  const factor = 1 / Math.sqrt(numExperts);
  for (let at = 0; at < out.length; at++) {
    const part = Math.floor(at / (group * valueDim));
    out[at] = factor * stored[part * valueDim + (at % valueDim)]!;
  }
  return out;
}

/** Of a matrix with so many rows. */
function transposed(matrix: Float32Array, rows: number): Float32Array {
  const cols = matrix.length / rows;
  const out = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) out[col * rows + row] = matrix[row * cols + col]!;
  return out;
}

function collectors(decoder: Decoder, longest: number): Collected[] {
  const { config } = decoder;
  return requireCalibratedLayers(config).map((own, index) => {
    const { numHeads, numKvHeads, headDim, valueDim, normsTurned } = decoder.attentionLayer(index);
    const { rope, upTo } = ropeFor(
      { headDim: own.headDim, rope: config.ropeOf(own.layer), storedDim: headDim },
      longest,
    );
    // Of vectors as they are stored. Coordinates that are always zero get the share of the identity that is mixed in.
    const moments = new LayerMoments({ numHeads, numKvHeads, headDim, valueDim });
    // A norm behind RoPE weighs the two coordinates of a pair differently, so that turning back does not undo it.
    return { ...own, moments, invFreq: normsTurned ? null : rope.invFreq, upTo };
  });
}

/** Layers with equal frequencies share the angles of a step. */
function turnsFor(known: Map<string, Float64Array>, invFreq: Float64Array, first: number, count: number): Float64Array {
  const key = invFreq.join();
  const turns = known.get(key) ?? turnsOf(invFreq, first, count);
  known.set(key, turns);
  return turns;
}

/** Shorter sequences than this are like it: a window and sinks are much of them. */
const SHORTEST_LENGTH = 1024;

/**
 * Lengths of sequences that count alike: the longest twice, and its halves, because most conversations are shorter, and a map for all
 * positions alike would be worse for them than for the longest (docs/decisions/0014).
 */
function lengthsUpTo(positions: number): number[] {
  const lengths = [positions];
  for (let length = positions; length >= SHORTEST_LENGTH; length = Math.floor(length / 2)) lengths.push(length);
  return lengths;
}

function averageFor(known: Map<string, RopeAverage>, invFreq: Float64Array, positions: number): RopeAverage {
  const key = `${positions}:${invFreq.join()}`;
  const average = known.get(key) ?? new RopeAverage(invFreq, lengthsUpTo(positions));
  known.set(key, average);
  return average;
}

/** Multiplications a second in these loops on a slow core. */
const DESIGN_RATE = 4e8;

/** Time for the maps of all layers: decompositions of d × d matrices, and the products of the output projections. */
function secondsToDesign({ config }: Decoder, collected: readonly Collected[]): number {
  const multiplications = collected.map(({ moments: { shape } }) => {
    const { numHeads, numKvHeads, headDim, valueDim } = shape;
    return numKvHeads * 16 * (headDim ** 3 + valueDim ** 3) + (config.hiddenSize * numHeads * valueDim ** 2) / 2;
  });
  return multiplications.reduce((sum, each) => sum + each, 0) / DESIGN_RATE;
}
