/** @file Contract of `chooseTokens`: the tokens that the reference chooses, in the order of their positions. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { appendRows, countsOf, layerOf, makeSequence, ropeOf, rowsOf, stepOf } from "../support/kv-case.ts";
import { upload } from "../support/wasm-backend.ts";
import { tolerance } from "../tolerances.ts";
import type { ChoiceCase } from "./chosen-cases.ts";
import { caseName } from "./kv-cases.ts";
import type { Target } from "./target.ts";

const FACTORS = [-0.5, 0, 0.5, 1];
/** Rows of longer steps are there to be chosen from. */
const MOST_ROWS = 200;

/** Lists of the rows of short steps, one after the other. */
async function choicesOf(ops: Ops, c: ChoiceCase): Promise<Float32Array[]> {
  const layer = layerOf(c);
  const sequences = countsOf(c.steps[0]!).map(() => makeSequence(ops, layer));
  const { numHeads } = layer;
  const [lists, count] = typeof c.by === "number" ? [1, c.by] : [numHeads, c.by.count * c.by.size];
  const rope = ropeOf(c, layer);
  const next = rowsOf(c, layer);
  const rng = new CounterRng(9, 9);
  const chosen: Float32Array[] = [];
  for (const each of c.steps) {
    const counts = countsOf(each);
    for (const [i, n] of counts.entries()) if (n > 0) sequences[i]!.reserve(n);
    const step = stepOf(sequences, counts);
    const rows = step.tokens.length;
    const factorOf = (i: number): number => (c.isExact ? FACTORS[rng.uint32(i) % 4]! : rng.gaussian(i));
    const factors = upload(
      ops,
      Float32Array.from({ length: rows * numHeads }, (_, i) => factorOf(i)),
    );
    const q = appendRows(ops, step, layer, rope, next(rows));
    const positions = ops.alloc(rows * lists * count);
    if (rows <= MOST_ROWS) {
      ops.chooseTokens(step, layer, q, typeof c.by === "number" ? factors : c.by, { positions, count, lists });
      chosen.push(await ops.readback(positions, rows * lists * count));
    }
    for (const [i, n] of counts.entries()) if (n > 0) sequences[i]!.commit(n);
    for (const buf of [factors, q, positions]) ops.free(buf);
  }
  for (const sequence of sequences) sequence.release();
  layer.kv.dispose();
  return chosen;
}

/** Share of the chosen tokens of a step that are not among those of the same list of the other. */
function shareOfOthers(own: Float32Array, expected: Float32Array, count: number): number {
  let [others, all] = [0, 0];
  for (let at = 0; at < own.length; at += count) {
    const known = new Set(expected.subarray(at, at + count));
    const tokens = own.subarray(at, at + count);
    for (const [i, token] of tokens.entries()) {
      if (token < 0) continue;
      all++;
      if (!known.has(token) || (i > 0 && tokens[i - 1]! >= token)) others++;
    }
  }
  return others / all;
}

export function choiceContract({ open }: Target, cases: readonly ChoiceCase[]): void {
  describe("choices", () => {
    const reference = createReferenceBackend();
    let ops: Ops;
    beforeAll(async () => {
      ops = await open();
    });
    afterAll(() => ops?.dispose());

    const named = cases.map((c) => {
      const { by, isExact, fill: _, ...rest } = c;
      const what = typeof by === "number" ? `${by} tokens` : `${by.count} blocks of ${by.size}, the last ${by.local}`;
      return [`${caseName(rest)}: ${what}${isExact ? ", exact" : ""}`, c] as const;
    });
    it.each(named)("chooses %s", async (_name, c) => {
      const [own, expected] = [await choicesOf(ops, c), await choicesOf(reference, c)];
      const count = typeof c.by === "number" ? c.by : c.by.count * c.by.size;
      for (const [step, lists] of own.entries()) {
        if (c.isExact) expect(lists).toEqual(expected[step]);
        else expect(shareOfOthers(lists, expected[step]!, count)).toBeLessThanOrEqual(tolerance.chosenTokens.max);
      }
    });
  });
}
