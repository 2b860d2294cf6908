/** @file Which kernels of the delta rule a step takes. What they compute is in the contract of all backends; no GPU takes part here. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import "../../../node/install.ts";
import { countingAdapter } from "../../../../test/support/counting-adapter.ts";
import { withAdapter } from "../../../../test/support/fake-adapter.ts";
import { kvFormat } from "../../../../test/support/pages.ts";
import { partOf } from "../../../../test/support/wasm-backend.ts";
import { KvCache } from "../../../cache/kv-cache.ts";
import { PagePool } from "../../../cache/page-pool.ts";
import { nodePlatform } from "../../../node/platform.ts";
import { setPlatform } from "../../../platform.ts";
import type { DeltaRule, Span } from "../../ops.ts";
import { WebGpuBackend } from "../backend.ts";
import { openDevice } from "../device/open-device.ts";
import { deltaBytes } from "./delta-plan.ts";

const SIZES = { numHeads: 4, numKeyHeads: 4, keyDim: 8, valueDim: 8, isByChannel: false };
const WIDTH = 3 * 4 * 8;

let close = async (): Promise<void> => {};
beforeEach(() => withAdapter(countingAdapter(false).adapter));
afterEach(async () => {
  await close();
  setPlatform(nodePlatform);
});

/** Number of dispatches, and names of their kernels, for spans of so many rows. */
async function dispatched(counts: readonly number[], bindingLimit = 2 ** 30) {
  const ops = new WebGpuBackend(await openDevice({ bindingLimit }));
  close = () => ops.dispose();
  const cache = new KvCache(
    [{ kind: "recurrent", numBytes: 4 * 4 * 8 * 8 }],
    () => kvFormat(0, 0),
    new PagePool(ops.pages),
  );
  const spans: Span[] = [];
  let row = 0;
  for (const count of counts) {
    const sequence = cache.createSequence();
    sequence.reserve(count);
    spans.push({ sequence, start: 0, count, row });
    row += count;
  }
  const step = { tokens: new Int32Array(row), positions: new Int32Array(row), spans, logitRows: new Int32Array(0) };
  const vector = (length: number) => ops.loadWeight([partOf(new Float32Array(length), 1)], "f32");
  const rule: DeltaRule = {
    ...SIZES,
    state: { index: 0, offset: 0 },
    rateScale: 1,
    rate: { first: 0, stride: 8 },
    decay: { first: 4, stride: 8 },
    decayLog: vector(4),
    decayBias: vector(4),
    decayBound: null,
  };
  const [qkv, gates, out] = [WIDTH, 8, 32].map((width) => ops.alloc(row * width));
  ops.beginStep(step, []);
  const before = ops.commands.counts.dispatches;
  ops.deltaRule(step, rule, qkv!, gates!, gates!, out!);
  return { dispatches: ops.commands.counts.dispatches - before, kernels: ops.commands.kernelLabels };
}

describe("the delta rule on webgpu", () => {
  const [rows, weights, chunks] = ["", ", weights of chunks", ", chunks"].map(
    (what) => `delta rule 4/4 heads of 8 and 8${what}`,
  );

  it.each([
    ["a prompt in chunks, however long", [512], [weights, chunks]],
    ["few rows one by one", [1, 8, 3], [rows]],
    ["each as it is long", [1, 9, 1], [weights, chunks, rows]],
  ] as const)("computes %s", async (_, counts, kernels) => {
    expect(await dispatched(counts)).toEqual({ dispatches: kernels.length, kernels });
  });

  it("goes row by row where chunks need more than the device binds", async () => {
    const bytes = deltaBytes(SIZES, 400, 1, 400);
    expect(await dispatched([400], bytes)).toMatchObject({ dispatches: 2 });
    await close();
    expect(await dispatched([400], bytes - 1)).toEqual({ dispatches: 1, kernels: [rows] });
  });
});
