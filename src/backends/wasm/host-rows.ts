/**
 * @file Operations of the WASM backend that TypeScript computes where the numbers lie: rows of n-grams, means of neighbouring tokens, factors of streams
 * and how alike streams are. They are a thousandth of a layer's products.
 */
import { compressionLength, compressSpan } from "../compress-rows.ts";
import { matchStreams } from "../match-streams.ts";
import { NgramScratch, ngramRows, ngramTail } from "../ngram-rows.ts";
import type { Compression, Ngrams, Span, StatePart, Step, StreamFactors, StreamMatch } from "../ops.ts";
import { rowsAt } from "../row-spans.ts";
import { streamFactors } from "../stream-factors.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";

export class HostRows {
  readonly #memory: WasmMemory;
  readonly #rows: ScratchBuffer;
  readonly #scratch = new NgramScratch();
  #kept = new Float32Array(0);

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#rows = new ScratchBuffer(memory);
  }

  /** The rows of the table that each token of the step has, i32 [tokens][heads], until the next call. returns: their address */
  ngramRows(step: Step, of: Ngrams): number {
    const numHeads = of.heads.length;
    const address = this.#rows.ensure(4 * step.tokens.length * numHeads);
    const kept = of.size - 1;
    for (const span of step.spans) {
      const { sequence, start, count, row } = span;
      const tokens = step.tokens.subarray(row, row + count);
      const before = this.#before(span, of.state, kept);
      const from = address / 4 + row * numHeads;
      ngramRows(of, tokens, before, this.#memory.i32.subarray(from, from + count * numHeads), this.#scratch);
      for (const [length, page] of sequence.recurrent(of.state.index).targets(start, start + count))
        ngramTail(of, tokens, length - start, before, this.#floats(page + of.state.offset, kept));
    }
    return address;
  }

  /** x, gateBias, out: addresses as in `Ops.compress`, 0 for no bias */
  compress(step: Step, of: Compression, x: number, gateBias: number, out: number): void {
    const { state, tokensPerRow, width, series } = of;
    const length = compressionLength(of);
    if (this.#kept.length < length) this.#kept = new Float32Array(length);
    const bias = gateBias === 0 ? null : this.#floats(gateBias, tokensPerRow * series * width);
    const values = this.#floats(x, step.tokens.length * of.stride);
    const means = this.#memory.f32.subarray(out / 4);
    let row = 0;
    for (const span of step.spans) {
      const { sequence, start, count } = span;
      const targets = sequence
        .recurrent(state.index)
        .targets(start, start + count)
        .map(([tokens, page]) => ({ tokens, state: this.#floats(page + state.offset, length) }));
      compressSpan(of, span, values, bias, means, row, this.#before(span, state, length), targets, this.#kept);
      row += rowsAt(start + count, tokensPerRow) - rowsAt(start, tokensPerRow);
    }
  }

  /** x, y, out: addresses as in `Ops.matchStreams` */
  matchStreams(x: number, y: number, match: StreamMatch, rows: number, width: number, out: number): void {
    const length = rows * match.streams * width;
    matchStreams(
      this.#floats(x, length),
      this.#floats(y, length),
      match,
      rows,
      width,
      this.#memory.f32.subarray(out / 4),
    );
  }

  /** factors, scale, bias: addresses as in `Ops.streamFactors`, and number of values of a row */
  streamFactors(factors: number, of: StreamFactors, scale: number, bias: number, width: number, rows: number): void {
    streamFactors(this.#floats(factors, rows * width), of, this.#floats(scale, 3), this.#floats(bias, width), rows);
  }

  /** What a part of the state before a span holds; null before the first token. */
  #before({ sequence, start }: Span, { index, offset }: StatePart, length: number): Float32Array | null {
    const page = sequence.recurrent(index).at(start);
    return page ? this.#floats(page + offset, length) : null;
  }

  #floats(address: number, length: number): Float32Array {
    return this.#memory.f32.subarray(address / 4, address / 4 + length);
  }
}
