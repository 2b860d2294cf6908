/** @file Contract of `appendKv` and `attend`: pages byte for byte, queries and outputs as the reference has them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { BEYOND_FLOAT16, FIRST_VALUE, type KvCase, layerOf, runCase } from "../support/kv-case.ts";
import { decodeDifference, differenceOf, hasOwnInputs } from "../support/kv-difference.ts";
import { caseName } from "./kv-cases.ts";
import type { Target } from "./target.ts";

const named = (cases: readonly KvCase[]): [string, KvCase][] => cases.map((c) => [caseName(c), c]);

/** sections: cases by what they are about */
export function kvContract(
  { open, limits, sharpness }: Target,
  sections: Readonly<Record<string, readonly KvCase[]>>,
): void {
  describe("append and attend", () => {
    const reference = createReferenceBackend();
    let ops: Ops;
    beforeAll(async () => {
      ops = await open();
    });
    afterAll(() => ops?.dispose());

    describe.each(Object.entries(sections))("%s", (_, cases) => {
      it.each(named(cases))("%s", async (_name, c) => {
        const { pages, query, output } = await differenceOf(
          ops,
          reference,
          c.fill ? c : { ...c, sharpness: sharpness?.() ?? 1 },
        );
        if (!hasOwnInputs(c)) {
          expect(pages, "share of the pages' bytes").toBeLessThanOrEqual(limits.pages());
          expect(query, "queries").toBeLessThanOrEqual(limits.query());
        }
        // Of awkward ones scores are beyond all bounds, where a sum in another order takes another key.
        if (!c.awkward) expect(output, "outputs").toBeLessThan(limits.output(c));
      });
    });

    it("a first token sees its own value alone, also where f16 cannot hold it", async () => {
      const c: KvCase = { kv: "f32", ...BEYOND_FLOAT16, steps: [1] };
      for (const each of [ops, reference]) {
        const { outputs, sequences } = await runCase(each, c, layerOf(c));
        for (const [i, x] of FIRST_VALUE.entries()) expect(Math.abs(outputs[0]![i]! / x - 1)).toBeLessThan(1e-6);
        for (const sequence of sequences) sequence.release();
      }
    });
  });
}

/** Decoding alone, over pages that the reference wrote: where only the kernel of decoding is another one. */
export function decodeContract({ open, limits }: Target, cases: readonly KvCase[]): void {
  describe("decode", () => {
    const reference = createReferenceBackend();
    let ops: Ops;
    beforeAll(async () => {
      ops = await open();
    });
    afterAll(() => ops?.dispose());

    it.each(named(cases))("%s", async (_name, c) => {
      expect(await decodeDifference(ops, reference, c)).toBeLessThan(limits.output(c));
    });
  });
}
