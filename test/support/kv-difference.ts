/** @file Differences of two backends in a case of the KV path: pages byte by byte, outputs by angle and length. */
import { DECODE_TOKENS } from "../../src/backends/decode-tokens.ts";
import type { Ops } from "../../src/backends/ops.ts";
import type { BlockTable } from "../../src/cache/block-table.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { countsOf, type KvCase, layerOf, makeSequence, onBackend, ropeOf, rowsOf, runCase, stepOf } from "./kv-case.ts";
import { upload } from "./wasm-backend.ts";

/** Addresses of the pages that are there, and their sizes. */
function placesOf(sequence: Sequence): (readonly [address: number, numBytes: number])[] {
  const { main, residual, tiers } = sequence.cache.layers[0]!;
  const present = (table: BlockTable): number[] => [...table.entries()].filter((address) => address !== 0);
  const copies = residual ? present(sequence.residual(0)) : [];
  return [
    ...present(sequence.main(0)).map((address) => [address, main.numBytes] as const),
    ...copies.map((address) => [address, residual!.layout.numBytes] as const),
    ...tiers.flatMap(({ layout }, tier) =>
      present(sequence.tiers(0)[tier]!).map((address) => [address, layout.numBytes] as const),
    ),
  ];
}

async function pagesOf(ops: Ops, sequence: Sequence): Promise<Uint8Array[]> {
  const pages: Uint8Array[] = [];
  for (const [address, numBytes] of placesOf(sequence)) pages.push(await ops.pages.read(address, numBytes));
  return pages;
}

/** By how much a backend differs from the reference in a case. */
export interface Difference {
  /** Share of the pages' bytes that differ; NaN where RoPE or norms make the inputs differ, or when there are other pages. */
  readonly pages: number;
  /** The queries that `attend` is given: length of the difference over the length, the largest of the steps. */
  readonly query: number;
  /** Worst output vector: 1 − cos, or squared relative error of its length; NaN if any value is. */
  readonly output: number;
}

/** Whether each backend computes keys and values of its own before it codes them. */
export const hasOwnInputs = (c: KvCase): boolean => Boolean(c.rope || c.norms || c.valueNorm);

/** Runs a case on `own` and on `reference`. */
export async function differenceOf(own: Ops, reference: Ops, c: KvCase): Promise<Difference> {
  const layer = layerOf(c);
  const next = rowsOf(c, layer);
  const drawn: Float32Array[] = [];
  const actual = await runCase(own, c, layer, (count) => {
    drawn.push(next(count));
    return drawn.at(-1)!;
  });
  const expected = await runCase(reference, c, layer, () => drawn.shift()!);
  let pages = 0;
  for (const [i, sequence] of actual.sequences.entries()) {
    const share = hasOwnInputs(c)
      ? Number.NaN
      : shareOfDifferentBytes(await pagesOf(own, sequence), await pagesOf(reference, expected.sequences[i]!));
    pages = Math.max(pages, share);
  }
  const query = Math.max(...actual.queries.map((values, i) => relativeError(values, expected.queries[i]!)));
  const output = worstOutput(actual.outputs, expected.outputs, layer.valueDim);
  for (const sequence of [...actual.sequences, ...expected.sequences]) sequence.release();
  return { pages, query, output };
}

/** ‖own − expected‖ / ‖expected‖; of nothing but zeros ‖own‖. */
function relativeError(own: Float32Array, expected: Float32Array): number {
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (own[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(error / (size || 1));
}

/**
 * Difference.output of the steps of decoded tokens. Pages and queries are the reference's: `own` attends and does nothing else, so
 * that no kernels but those of decode attention are made.
 */
export async function decodeDifference(own: Ops, reference: Ops, c: KvCase): Promise<number> {
  const layer = layerOf(c);
  const [ownLayer, wantedLayer] = [onBackend(own, c, layer), onBackend(reference, c, layer)];
  const { numHeads, headDim, valueDim } = layer;
  const [sequence, expected] = [makeSequence(own, layer), makeSequence(reference, layer)];
  const rope = ropeOf(c, layer);
  const next = rowsOf(c, layer);
  const outputs: { actual: Float32Array[]; expected: Float32Array[] } = { actual: [], expected: [] };
  for (const count of c.steps.flatMap(countsOf)) {
    for (const s of [sequence, expected]) s.reserve(count);
    const length = count * numHeads * headDim;
    const step = stepOf([expected], [count]);
    const q = reference.alloc(length);
    const qkv = upload(reference, next(count));
    reference.beginStep(step, [rope]);
    reference.appendKv(step, layer, qkv, q);
    if (count <= DECODE_TOKENS) {
      const pages = await pagesOf(reference, expected);
      for (const [i, [address]] of placesOf(sequence).entries()) own.pages.write(address, pages[i]!);
      const query = upload(own, await reference.readback(q, length));
      const outLength = count * numHeads * valueDim;
      const [out, wanted] = [own.alloc(outLength), reference.alloc(outLength)];
      const ownStep = stepOf([sequence], [count]);
      own.beginStep(ownStep, []);
      own.attend(ownStep, ownLayer, query, out);
      reference.attend(step, wantedLayer, q, wanted);
      outputs.actual.push(await own.readback(out, outLength));
      outputs.expected.push(await reference.readback(wanted, outLength));
      for (const buf of [query, out]) own.free(buf);
    }
    for (const s of [sequence, expected]) s.commit(count);
  }
  for (const s of [sequence, expected]) s.release();
  return worstOutput(outputs.actual, outputs.expected, valueDim);
}

/** The largest Difference.output; vectors are `d` long. */
function worstOutput(own: readonly Float32Array[], expected: readonly Float32Array[], d: number): number {
  let output = 0;
  for (const [s, values] of own.entries()) {
    for (let at = 0; at < values.length; at += d) {
      let [ab, aa, bb] = [0, 0, 0];
      for (let i = at; i < at + d; i++) {
        ab += values[i]! * expected[s]![i]!;
        aa += values[i]! ** 2;
        bb += expected[s]![i]! ** 2;
      }
      // Of these Math.max gives NaN if any is, and keeps it.
      output = Math.max(output, bb === 0 ? aa : Math.max(1 - ab / Math.sqrt(aa * bb), (Math.sqrt(aa / bb) - 1) ** 2));
    }
  }
  return output;
}

function shareOfDifferentBytes(own: readonly Uint8Array[], expected: readonly Uint8Array[]): number {
  if (own.length !== expected.length) return Number.NaN;
  let different = 0;
  let total = 0;
  for (const [p, page] of own.entries()) {
    for (let i = 0; i < page.length; i++) if (page[i] !== expected[p]![i]) different++;
    total += page.length;
  }
  return total > 0 ? different / total : 0;
}
