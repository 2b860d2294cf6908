/** @file Steps over states of fixed size: several sequences, some in the middle, and the pages they leave. */
import type { Buf, Ops, Span, Step } from "../../src/backends/ops.ts";
import { KvCache } from "../../src/cache/kv-cache.ts";
import { PagePool } from "../../src/cache/page-pool.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { kvFormat } from "./pages.ts";

/** Tokens that each of three sequences gets in the steps: from nothing, over page ends, up to one, and one by one. */
const STEPS: readonly (readonly number[])[] = [
  [1, 70, 3],
  [2, 58, 0],
  [1, 1, 130],
  [5, 1, 1],
];

export interface StateRun {
  /** What the operation gave for the rows of each step. */
  readonly outputs: Float32Array[];
  /** Every page of every sequence after each step, as floats. */
  readonly states: Float32Array[];
}

/** Runs `queue`, which begins the step, over the steps. numBytes: of the state, of which there is one */
export async function runStates(
  ops: Ops,
  numBytes: number,
  queue: (step: Step, stepIndex: number, rows: number) => Buf,
): Promise<StateRun> {
  const cache = new KvCache([{ kind: "recurrent", numBytes }], () => kvFormat(0, 0), new PagePool(ops.pages));
  const sequences = STEPS[0]!.map(() => cache.createSequence());
  const outputs: Float32Array[] = [];
  const states: Float32Array[] = [];
  for (const [index, counts] of STEPS.entries()) {
    const step = stepOver(sequences, counts);
    const out = queue(step, index, step.tokens.length);
    outputs.push(await ops.readback(out, out.length));
    ops.free(out);
    for (const { sequence, start, count } of step.spans) {
      for (const [, address] of sequence.recurrent(0).targets(start, start + count)) {
        const bytes = await ops.pages.read(address, numBytes);
        states.push(new Float32Array(bytes.slice().buffer));
      }
      sequence.commit(count);
    }
  }
  for (const sequence of sequences) sequence.release();
  return { outputs, states };
}

function stepOver(sequences: readonly Sequence[], counts: readonly number[]): Step {
  const spans: Span[] = [];
  const positions: number[] = [];
  for (const [i, sequence] of sequences.entries()) {
    const count = counts[i]!;
    if (count === 0) continue;
    sequence.reserve(count);
    spans.push({ sequence, start: sequence.length, count, row: positions.length });
    for (let n = 0; n < count; n++) positions.push(sequence.length + n);
  }
  const tokens = new Int32Array(positions.length);
  return { tokens, positions: Int32Array.from(positions), spans, logitRows: new Int32Array(0) };
}
