/** @file How alike streams are, in plain TypeScript, which defines it and is what backends on the CPU run. */
import type { StreamMatch } from "./stream-mix.ts";

/** See `Ops.matchStreams`. */
export function matchStreams(
  x: Float32Array,
  y: Float32Array,
  { streams, scale, floor }: StreamMatch,
  rows: number,
  width: number,
  out: Float32Array,
): void {
  for (let at = 0; at < rows * streams; at++) {
    let sum = 0;
    for (let i = at * width; i < (at + 1) * width; i++) sum += x[i]! * y[i]!;
    sum *= scale;
    out[at] = Math.sign(sum) * Math.sqrt(Math.max(Math.abs(sum), floor));
  }
}
