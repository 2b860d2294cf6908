/** @file Embeddings of the last tokens by hashes of their numbers. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { NgramScratch, ngramRows, ngramTail } from "../ngram-rows.ts";
import type { Ngrams, Step } from "../ops.ts";
import { floatsOf, stateBefore } from "./states.ts";

/** table: [rows of all heads][width] · out: as `Ops.embedNgrams` */
export function embedNgrams(
  storage: MemoryPageStorage,
  step: Step,
  of: Ngrams,
  table: Float32Array,
  width: number,
  out: Float32Array,
): void {
  const scratch = new NgramScratch();
  const kept = of.size - 1;
  const numHeads = of.heads.length;
  for (const span of step.spans) {
    const { sequence, start, count, row } = span;
    const tokens = step.tokens.subarray(row, row + count);
    const before = stateBefore(storage, span, of.state, kept);
    const rows = new Int32Array(count * numHeads);
    ngramRows(of, tokens, before, rows, scratch);
    rows.forEach((own, i) => {
      out.set(table.subarray(own * width, (own + 1) * width), (row * numHeads + i) * width);
    });
    for (const [length, address] of sequence.recurrent(of.state.index).targets(start, start + count))
      ngramTail(of, tokens, length - start, before, floatsOf(storage, address, of.state, kept));
  }
}
