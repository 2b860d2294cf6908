/** @file Means of neighbouring tokens over the states of a step. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { compressionLength, compressSpan } from "../compress-rows.ts";
import type { Compression, Step } from "../ops.ts";
import { rowsAt } from "../row-spans.ts";
import { floatsOf, stateBefore } from "./states.ts";

/** gateBias: [tokensPerRow][series · width] or null · x, out: as `Ops.compress` */
export function compress(
  storage: MemoryPageStorage,
  step: Step,
  of: Compression,
  x: Float32Array,
  gateBias: Float32Array | null,
  out: Float32Array,
): void {
  const { state, tokensPerRow } = of;
  const length = compressionLength(of);
  const kept = new Float32Array(length);
  let row = 0;
  for (const span of step.spans) {
    const { sequence, start, count } = span;
    const targets = sequence
      .recurrent(state.index)
      .targets(start, start + count)
      .map(([tokens, address]) => ({ tokens, state: floatsOf(storage, address, state, length) }));
    compressSpan(of, span, x, gateBias, out, row, stateBefore(storage, span, state, length), targets, kept);
    row += rowsAt(start + count, tokensPerRow) - rowsAt(start, tokensPerRow);
  }
}
