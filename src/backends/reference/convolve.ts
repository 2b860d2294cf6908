/** @file Causal convolutions over the tokens of a sequence, in f64. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { Convolution, Span, Step } from "../ops.ts";
import { floatsOf, stateBefore } from "./states.ts";

/** taps: [channels][kernel] · bias: [channels] or null · x, out: as `Ops.convolve` */
export function convolve(
  storage: MemoryPageStorage,
  step: Step,
  convolution: Convolution,
  taps: Float32Array,
  bias: Float32Array | null,
  x: Float32Array,
  out: Float32Array,
): void {
  for (const span of step.spans) convolveSpan(storage, span, convolution, taps, bias, x, out);
}

function convolveSpan(
  storage: MemoryPageStorage,
  span: Span,
  convolution: Convolution,
  taps: Float32Array,
  bias: Float32Array | null,
  x: Float32Array,
  out: Float32Array,
): void {
  const { state: part, channels, kernel, dilation = 1, activation, input, inputGate, outputGate } = convolution;
  const { sequence, start, count, row } = span;
  const tail = (kernel - 1) * dilation;
  const before = stateBefore(storage, span, part, tail * channels);
  /** The input of a channel `n` rows behind the first one of the span; the state has those before it. */
  const inputOf = (n: number, channel: number): number => {
    if (n < 0) return before[(tail + n) * channels + channel]!;
    const at = (row + n) * input.stride;
    const value = x[at + input.first + channel]!;
    return inputGate === null ? value : Math.fround(value * x[at + inputGate + channel]!);
  };
  for (let n = 0; n < count; n++) {
    for (let channel = 0; channel < channels; channel++) {
      let sum = bias ? bias[channel]! : 0;
      for (let tap = 0; tap < kernel; tap++)
        sum += taps[channel * kernel + tap]! * inputOf(n - tail + tap * dilation, channel);
      if (activation === "silu") sum /= 1 + Math.exp(-sum);
      if (outputGate !== null) sum *= x[(row + n) * input.stride + outputGate + channel]!;
      out[(row + n) * channels + channel] = sum;
    }
  }
  for (const [tokens, address] of sequence.recurrent(part.index).targets(start, start + count)) {
    const after = floatsOf(storage, address, part, tail * channels);
    const end = tokens - start;
    for (let i = 0; i < tail; i++) {
      for (let channel = 0; channel < channels; channel++)
        after[i * channels + channel] = inputOf(end - tail + i, channel);
    }
  }
}
