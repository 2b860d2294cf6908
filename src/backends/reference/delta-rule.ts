/** @file The gated delta rule, token by token, in f64; by channel with a state in f32. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { DeltaRule, Span, Step } from "../ops.ts";
import { DELTA_EPS } from "../state-ops.ts";
import { floatsOf, stateBefore } from "./states.ts";

export interface DeltaInputs {
  readonly qkv: Float32Array;
  readonly rates: Float32Array;
  readonly decays: Float32Array;
  readonly decayLog: Float32Array;
  readonly decayBias: Float32Array;
}

/** See `Ops.deltaRule`. */
export function deltaRule(
  storage: MemoryPageStorage,
  step: Step,
  rule: DeltaRule,
  inputs: DeltaInputs,
  out: Float32Array,
): void {
  for (const span of step.spans) deltaSpan(storage, span, rule, inputs, out);
}

function deltaSpan(
  storage: MemoryPageStorage,
  span: Span,
  rule: DeltaRule,
  inputs: DeltaInputs,
  out: Float32Array,
): void {
  const { state: part, numHeads, numKeyHeads, isTiled, keyDim, valueDim } = rule;
  const { sequence, start, count, row } = span;
  const numValues = numHeads * keyDim * valueDim;
  const before = stateBefore(storage, span, part, numValues);
  // By channel the state is that of f32 behind every row, so that it does not matter where a step ends.
  const state = rule.isByChannel ? Float32Array.from(before) : Float64Array.from(before);
  const targets = new Map(sequence.recurrent(part.index).targets(start, start + count));
  const keysAt = numKeyHeads * keyDim;
  const width = 2 * keysAt + numHeads * valueDim;
  for (let n = 0; n < count; n++) {
    const own = inputs.qkv.subarray((row + n) * width, (row + n + 1) * width);
    for (let head = 0; head < numHeads; head++) {
      const keyHead = isTiled ? head % numKeyHeads : Math.floor((head * numKeyHeads) / numHeads);
      const q = unit(own.subarray(keyHead * keyDim, (keyHead + 1) * keyDim), 1 / Math.sqrt(keyDim));
      const k = unit(own.subarray(keysAt + keyHead * keyDim, keysAt + (keyHead + 1) * keyDim), 1);
      const v = own.subarray(2 * keysAt + head * valueDim, 2 * keysAt + (head + 1) * valueDim);
      const rate = rule.rateScale * sigmoid(inputs.rates[(row + n) * rule.rate.stride + rule.rate.first + head]!);
      const matrix = state.subarray(head * keyDim * valueDim, (head + 1) * keyDim * valueDim);
      for (let d = 0; d < keyDim; d++) {
        const decay = Math.exp(logDecay(rule, inputs, row + n, head, d));
        for (let j = 0; j < valueDim; j++) matrix[d * valueDim + j]! *= decay;
      }
      for (let j = 0; j < valueDim; j++) {
        let known = 0;
        for (let d = 0; d < keyDim; d++) known += k[d]! * matrix[d * valueDim + j]!;
        const change = rate * (v[j]! - known);
        let sum = 0;
        for (let d = 0; d < keyDim; d++) {
          matrix[d * valueDim + j]! += k[d]! * change;
          sum += q[d]! * matrix[d * valueDim + j]!;
        }
        out[((row + n) * numHeads + head) * valueDim + j] = sum;
      }
    }
    const target = targets.get(start + n + 1);
    if (target) floatsOf(storage, target, part, numValues).set(state);
  }
}

function logDecay(rule: DeltaRule, inputs: DeltaInputs, row: number, head: number, channel: number): number {
  const { decay, keyDim, isByChannel, decayBound } = rule;
  const at = isByChannel ? head * keyDim + channel : head;
  const x = inputs.decays[row * decay.stride + decay.first + at]! + inputs.decayBias[at]!;
  const rate = Math.exp(inputs.decayLog[head]!);
  return decayBound === null ? -rate * softplus(x) : decayBound * sigmoid(rate * x);
}

function unit(x: Float32Array, scale: number): Float64Array {
  const squares = x.reduce((sum, value) => sum + value * value, 0);
  return Float64Array.from(x, (value) => (value * scale) / Math.sqrt(squares + DELTA_EPS));
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
