/**
 * @file Means of neighbouring tokens in plain TypeScript, which defines them and is what backends on the CPU run.
 *
 * A mean is added up token by token, coordinate by coordinate, with the weights of a softmax over the tokens (Milakov & Gimelshein, arXiv 1805.02867),
 * so that what is kept of tokens whose mean is not whole yet has one size whatever their number, and the bits are the same however a prompt is cut.
 */
import type { Span } from "./ops.ts";
import type { Compression } from "./state-ops.ts";

/** Values of a coordinate that are kept of an unfinished mean: the largest gate, the sum of weights, and that of weighted values. */
const KEPT = 3;

/** f32 values of a compression's part of a state. */
export const compressionLength = ({ width, series }: Pick<Compression, "width" | "series">): number =>
  KEPT * series * width;

/**
 * Computes the means that end in a span, and writes what is left of the others to the states that the step leaves.
 *
 * x: rows as `Compression` says · gateBias: [tokensPerRow][series · width] or null · out: [any][width], from row `row` on · before: the state before the
 * span or null for zeros · targets: states that are written, each with the number of the sequence's tokens it is behind, ascending
 */
export function compressSpan(
  { tokensPerRow, width, series, stride, isGated }: Compression,
  span: Span,
  x: Float32Array,
  gateBias: Float32Array | null,
  out: Float32Array,
  row: number,
  before: Float32Array | null,
  targets: readonly { readonly tokens: number; readonly state: Float32Array }[],
  kept: Float32Array,
): void {
  const all = series * width;
  const length = KEPT * all;
  if (before) kept.set(before.subarray(0, length));
  else kept.fill(0, 0, length);
  let to = row * width;
  let next = 0;
  for (let n = 0; n < span.count; n++) {
    const at = (span.row + n) * stride;
    const place = (span.start + n) % tokensPerRow;
    for (let c = 0; c < all; c++) {
      // The mean that ends first takes the last series, and that behind it the one before.
      const gate = isGated ? Math.fround(x[at + all + c]! + (gateBias ? gateBias[place * all + c]! : 0)) : 0;
      addTo(kept, (series - 1 - Math.floor(c / width)) * KEPT * width + (c % width), width, x[at + c]!, gate);
    }
    if (place === tokensPerRow - 1) {
      for (let c = 0; c < width; c++) out[to + c] = kept[2 * width + c]! / kept[width + c]!;
      to += width;
      kept.copyWithin(0, KEPT * width, length);
      kept.fill(0, KEPT * (all - width), length);
    }
    if (targets[next]?.tokens === span.start + n + 1) targets[next++]!.state.set(kept.subarray(0, length));
  }
}

/** Adds a value to a mean, whose largest gate is at `at`. */
function addTo(kept: Float32Array, at: number, width: number, value: number, gate: number): void {
  const sum = kept[at + width]!;
  const most = kept[at]!;
  if (sum === 0 || gate > most) {
    const factor = sum === 0 ? 0 : Math.exp(most - gate);
    kept[at] = gate;
    kept[at + width] = sum * factor + 1;
    kept[at + 2 * width] = kept[at + 2 * width]! * factor + value;
  } else {
    const factor = Math.exp(gate - most);
    kept[at + width] = sum + factor;
    kept[at + 2 * width] = kept[at + 2 * width]! + factor * value;
  }
}
