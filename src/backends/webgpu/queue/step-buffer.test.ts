/** @file What a device holds of a step's block tables: writes are made into an array here, and no device takes part. */
import { expect, it } from "vitest";
import { append, kvFormat, makeCache, range } from "../../../../test/support/pages.ts";
import type { Sequence } from "../../../cache/sequence.ts";
import { CounterRng } from "../../../math/rng.ts";
import type { Step } from "../../ops.ts";
import { type BufferAllocator, GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import { StepBuffer } from "./step-buffer.ts";
import { SPAN_WORDS, STEP_VALUES } from "./step-records.ts";

const stepOf = (sequences: readonly Sequence[]): Step => ({
  tokens: new Int32Array(sequences.length),
  positions: Int32Array.from(sequences, ({ length }) => length),
  spans: sequences.map((sequence, row) => ({ sequence, start: sequence.length, count: 1, row })),
  logitRows: new Int32Array(0),
});

it("has the tables of the sequences at hand, whichever they are, and few writes send them", () => {
  const formats = [kvFormat(4, 32), kvFormat(0, 0), kvFormat(0, 16)];
  const fixture = makeCache(formats);
  let words = new Uint32Array();
  let writes = 0;
  const allocator = {
    allocate(numBytes: number) {
      words = new Uint32Array(numBytes / 4);
      return new GpuBuffer(null as unknown as GPUBuffer, numBytes);
    },
    free: () => {},
  } as unknown as BufferAllocator;
  const commands = {
    write: (_: GpuBuffer, offset: number, data: Uint32Array) => {
      words.set(data, offset / 4);
      writes++;
    },
  } as unknown as Commands;
  const steps = new StepBuffer(commands, allocator);
  const begin = (sequences: readonly Sequence[]): number => {
    for (const sequence of sequences) sequence.reserve(1);
    writes = 0;
    steps.begin(stepOf(sequences));
    const { spansAt } = steps.layout;
    for (let layer = 0; layer < formats.length; layer++) {
      for (const [index, sequence] of sequences.entries()) {
        const span = spansAt + (layer * sequences.length + index) * SPAN_WORDS;
        for (const [stream, word] of [
          ["main", STEP_VALUES.SPAN_TABLE],
          ["residual", STEP_VALUES.SPAN_RESIDUAL_TABLE],
        ] as const) {
          const entries = sequence[stream](layer).entries();
          const at = words[span + word]!;
          expect(words.subarray(at, at + entries.length), `${stream} of layer ${layer}, span ${index}`).toEqual(
            entries,
          );
        }
        expect(words[span + STEP_VALUES.SPAN_RESIDUAL_START]).toBe(sequence.residualStart(layer));
        expect(words[span + STEP_VALUES.SPAN_RESIDUAL_ENTRIES]).toBe(sequence.residual(layer).length);
      }
    }
    return writes;
  };
  const rng = new CounterRng(3, 1);
  const pick = (n: number, of: number): number => Math.floor(rng.uniform(n) * of);
  let sequences = Array.from({ length: 6 }, () => fixture.cache.createSequence());
  for (let n = 0; n < 200; n++) {
    const some = sequences.filter((_, i) => (pick(4 * n, 64) >> i) & 1 || n % 3 === 0);
    begin(some);
    for (const sequence of some) sequence.commit(1);
    const [one, other] = [pick(4 * n + 1, 6), pick(4 * n + 2, 6)];
    if (n % 7 === 0) append(fixture, sequences[one]!, range(1 + pick(4 * n + 3, 300)));
    if (n % 11 === 0 && one !== other) {
      sequences[one]!.release();
      sequences = sequences.map((sequence, i) => (i === one ? sequences[other]!.fork() : sequence));
    }
  }
  // The head and one piece with the tables of all layers, though every table has changed.
  const many = Array.from({ length: 20 }, () => fixture.cache.createSequence());
  for (const sequence of many) append(fixture, sequence, range(64));
  begin(many);
  for (const sequence of many) append(fixture, sequence, range(64));
  expect(begin(many)).toBe(2);
  expect(begin(many)).toBe(1);
});
