/** @file The scan of state space layers in plain TypeScript, in f64 but for the states. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { Scan, Span, Step } from "../ops.ts";
import { floatsOf, stateBefore } from "./states.ts";

/** What is scanned, as in `Ops.scan`. parameters: `Scan.parameters` */
export interface ScanArrays {
  readonly parameters: Float32Array;
  readonly x: Float32Array;
  readonly vectors: Float32Array;
  readonly steps: Float32Array;
  readonly out: Float32Array;
}

/** ln(1 + eˣ) */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export function scan(storage: MemoryPageStorage, step: Step, of: Scan, arrays: ScanArrays): void {
  for (const span of step.spans) scanSpan(storage, span, of, arrays);
}

/** The states are f32 behind each row, so that they do not depend on how rows were cut into steps. */
function scanSpan(
  storage: MemoryPageStorage,
  span: Span,
  of: Scan,
  { parameters, x, vectors, steps, out }: ScanArrays,
) {
  const { numHeads, headDim, numGroups, stateSize, isPerState } = of;
  const { sequence, start, count } = span;
  const inner = numHeads * headDim;
  const numRates = isPerState ? numHeads * stateSize : numHeads;
  const states = stateBefore(storage, span, of.state, inner * stateSize).slice();
  const targets = new Map(sequence.recurrent(of.state.index).targets(start, start + count));
  const decays = new Float64Array(stateSize);
  for (let n = 0; n < count; n++) {
    const row = span.row + n;
    for (let head = 0; head < numHeads; head++) {
      const group = row * of.vectors.stride + Math.floor((head * numGroups) / numHeads) * stateSize;
      const [b, c] = [group + of.vectors.b, group + of.vectors.c];
      const raw = steps[row * of.steps.stride + of.steps.first + head]! + parameters[numRates + numHeads + head]!;
      const size = Math.min(Math.max(softplus(raw), of.minStep), of.maxStep);
      for (let s = 0; s < stateSize; s++) {
        decays[s] = Math.exp(-size * Math.exp(parameters[isPerState ? head * stateSize + s : head]!));
      }
      for (let i = head * headDim; i < (head + 1) * headDim; i++) {
        const value = x[row * of.x.stride + of.x.first + i]!;
        let sum = parameters[numRates + head]! * value;
        for (let s = 0; s < stateSize; s++) {
          const at = i * stateSize + s;
          states[at] = states[at]! * decays[s]! + size * value * vectors[b + s]!;
          sum += states[at]! * vectors[c + s]!;
        }
        out[row * inner + i] = sum;
      }
    }
    const target = targets.get(start + n + 1);
    if (target) floatsOf(storage, target, of.state, inner * stateSize).set(states);
  }
}
