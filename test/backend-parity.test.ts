/**
 * @file Every backend against the reference on the KV path: the pages byte for byte, the attention output by angle and
 * length, over an edge grid of lengths, head dims, GQA, widths, windows and inputs.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { CounterRng } from "../src/math/rng.ts";
import {
  BEYOND_FLOAT16,
  codeBitsOf,
  differenceOf,
  FIRST_VALUE,
  type KvCase,
  layerOf,
  runCase,
} from "./support/kv-case.ts";
import { tolerance } from "./tolerances.ts";

let wasm: Ops;
let reference: Ops;
beforeAll(async () => {
  wasm = await createWasmBackend({ threads: 2 });
  reference = createReferenceBackend();
});
afterAll(async () => {
  await wasm.dispose();
});

/** Codes of seven and eight bits are looked up as straight segments; others are exact to int16. */
function limitOf(c: KvCase): number {
  const bits = codeBitsOf(c);
  if (bits > 6) return tolerance.attentionWideCodes.max;
  // Blocks are integers, multiplied by int16 queries and weights as codes are.
  const areIntegers = bits > 0 || /q[48]_0/.test(c.kv);
  return areIntegers ? tolerance.attentionCodes.max : tolerance.attentionFloats.max;
}

async function compare(c: KvCase): Promise<void> {
  const { pages, output } = await differenceOf(wasm, reference, c);
  if (!c.rope) expect(pages).toBe(0);
  expect(output).toBeLessThan(limitOf(c));
}

const BARE = ",sinks=0,window=0";
const WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8];

describe("wasm attention against the reference", () => {
  it.each(WIDTHS)("K and V of %d bits, decode and prefill", async (bits) => {
    await compare({ kv: `k${bits}v${bits}${BARE}`, numHeads: 4, numKvHeads: 2, steps: [1, 1, 40, 1, 100, 3] });
    await compare({ kv: `paper-${bits}`, headDim: 128, steps: [70, 1] });
  });

  it.each(["f16", "f32", "q8_0", "q4_0r"])("%s", async (kv) => {
    await compare({ kv, numHeads: 4, numKvHeads: 2, steps: [1, 33, 1, 65, 2] });
  });

  it.each([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000])("length %d, as a prompt and then a token", async (n) => {
    await compare({ kv: `k4v4${BARE}`, steps: [n, 1] });
    await compare({ kv: "k5v3", steps: [n, 1] });
  });

  it.each([8, 16, 24, 40, 64, 72, 80, 96, 112, 128, 192, 256])("head_dim %d", async (headDim) => {
    for (const kv of [
      `k4v4${BARE}`,
      `k3v5${BARE}`,
      `k2v2${BARE}`,
      `k2v2${BARE},trellis=off`,
      `k8v1${BARE}`,
      "k6v7,window=20,sinks=3",
      "f16",
      "q8_0",
    ]) {
      await compare({ kv, headDim, steps: [33, 1, 66] });
    }
  });

  it.each([264, 320, 512, 576])("head_dim %d", async (headDim) => {
    for (const kv of [`k4v4${BARE}`, `k2v2${BARE}`, `k8v7${BARE}`, "k6v3,window=20,sinks=3", "f32", "q8_0", "kivi-2"]) {
      await compare({ kv, headDim, numHeads: 4, numKvHeads: 2, steps: [33, 1, 6] });
    }
    await compare({ kv: "paper-3+qjl", headDim, steps: [9, 1] });
    // Error feedback, of single rows and of four at once.
    await compare({ kv: "k4v2,window=0,sinks=0", headDim, steps: [5, 1], calibrated: true });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("%d query heads a KV head", async (group) => {
    await compare({ kv: `k4v4${BARE}`, numHeads: group * 2, numKvHeads: 2, steps: [35, 1, 5] });
    await compare({ kv: "f16", numHeads: group * 2, numKvHeads: 2, steps: [35, 1, 5] });
  });

  // The scratch of a thread has 32 rows.
  it.each([1, 2, 3, 8, 31, 32, 33, 40, 64, 71])("%d query heads a KV head, in every format", async (group) => {
    for (const kv of [
      "f32",
      "f16",
      `k8v8${BARE}`,
      `k4v4${BARE}`,
      `k2v2${BARE}`,
      "k4v4,window=8,sinks=2",
      "q8_0",
      "kivi-4",
    ]) {
      await compare({ kv, headDim: 16, numHeads: group * 2, numKvHeads: 2, steps: [35, 1, 5] });
    }
    await compare({ kv: "paper-2+qjl", headDim: 16, numHeads: group, numKvHeads: 1, steps: [5, 1] });
  });

  it.each([
    "k4v4,window=128,sinks=4",
    "k3v2,window=16,sinks=0",
    "paper-4,window=0,sinks=7",
    "k2v8,window=1,sinks=1",
    "k2v2,window=20,sinks=3",
  ])("sinks and window: %s", async (kv) => {
    await compare({ kv, steps: [5, 1, 150, 1, 40, 3] });
  });

  it("without a window, a long prompt in several steps reads no 16-bit pages but the sinks'", async () => {
    // The table of the 16-bit pages ends with the sinks; what lies behind it in memory is no address.
    await compare({ kv: "k4v4,window=0,sinks=4", numHeads: 4, numKvHeads: 2, steps: [256, 256, 256, 256, 256, 1] });
  });

  it("after a rollback the window is what is left of it", async () => {
    await compare({ kv: "k4v4,window=32,sinks=4", steps: [200, 1, 30], trimTo: 120 });
    await compare({ kv: "k4v4,window=32,sinks=4", steps: [200, 1, 1], trimTo: 2 });
  });

  it.each([1, 17, 64, 100])("sliding window of %d", async (slidingWindow) => {
    await compare({ kv: `k4v4${BARE}`, steps: [150, 1, 70], slidingWindow });
    await compare({ kv: "k4v4", steps: [150, 1, 70], slidingWindow });
  });

  it.each([
    "paper-4,v=f16",
    "paper-4,k=f16",
    "k4v4,k=f32,v=q8_0",
    "q8_0,v=tq3",
    "k4v4,rotation=qr",
    "k4v4,rotation=none",
  ])("mixed types and rotations: %s", async (kv) => {
    await compare({ kv, steps: [70, 1, 3] });
  });

  it("TurboQuant_prod: codes and sketch", async () => {
    for (const bits of [2, 4, 8]) await compare({ kv: `paper-${bits}+qjl`, headDim: 128, steps: [70, 1, 3] });
  });

  it("sketches of fewer and of more projections than head_dim", async () => {
    for (const projections of [8, 40, 512]) {
      await compare({ kv: `paper-4+qjl,qjl=${projections}`, headDim: 64, steps: [70, 1, 3] });
    }
    await compare({ kv: "paper-3+qjl,qjl=72", numHeads: 4, numKvHeads: 2, headDim: 40, steps: [20, 1] });
  });

  it("codebooks stopped early", async () => {
    for (const bits of [2, 4, 5, 7]) await compare({ kv: `paper-${bits},codebook=10`, headDim: 64, steps: [70, 1] });
  });

  it("KIVI: pages of keys with a scale a channel", async () => {
    for (const bits of [1, 2, 3, 4, 5, 6, 7, 8]) {
      await compare({ kv: `kivi-${bits}`, numHeads: 4, numKvHeads: 2, steps: [1, 100, 1, 60, 3, 130], headDim: 72 });
    }
    await compare({ kv: "kivi-4,v=tq4,window=80,sinks=3", headDim: 128, steps: [200, 1, 1] });
    await compare({ kv: "kivi-4,k=q8_0", headDim: 128, steps: [150, 1] });
    // Back into a page whose first copies are gone: it is filled again from its codes.
    await compare({ kv: "kivi-4", steps: [250, 40], trimTo: 150 });
  });

  it("calibrated keys", async () => {
    await compare({ kv: "k4v4", numHeads: 4, numKvHeads: 2, steps: [150, 1], calibrated: true });
    await compare({ kv: "f16", numHeads: 4, numKvHeads: 2, steps: [50, 1], calibrated: true });
    for (const kv of [
      "k3v3,sinks=0,window=0",
      "k2v8,transform=off",
      "k4v4,feedback=off",
      "k5v1,feedback=off,transform=off,sinks=0,window=0",
      "k4v4,rotation=qr,scale=norm",
      "k6v2,rotation=none,search=off",
      "k7v4,sinks=0,window=0,v=q4_0r",
    ]) {
      await compare({ kv, numHeads: 4, numKvHeads: 2, steps: [70, 1], calibrated: true });
    }
    for (const headDim of [8, 40, 128, 256]) {
      await compare({ kv: "k4v3,sinks=0,window=0", headDim, steps: [40, 1], calibrated: true });
    }
  });

  it("RoPE", async () => {
    for (const kv of ["f32", `k4v4${BARE}`]) await compare({ kv, steps: [100, 1], rope: true });
  });

  it("zeros, huge values, one spike, NaN and infinities", async () => {
    const rng = new CounterRng(2, 2);
    for (const kv of [`k4v4${BARE}`, "k8v3", "q8_0", "q4_0r", "paper-4,v=f16"]) {
      await compare({
        kv,
        steps: [40, 1],
        fill: (i) => (i % 256 < 128 ? rng.gaussian(i) * 1e-4 : 6e4 * Math.sign(rng.gaussian(i))),
      });
      await compare({ kv, steps: [40, 1], fill: () => 0 });
      await compare({ kv, steps: [40, 1], fill: (i) => rng.gaussian(i) * 1e4 });
      await compare({ kv, steps: [40, 1], fill: (i) => (i % 64 === 3 ? 50 : 1e-3) });
    }
    // Keys and values only: a query that is no number has no answer.
    const bad = [Number.NaN, Number.POSITIVE_INFINITY, -1e30, 1];
    await compare({ kv: `k4v4${BARE}`, steps: [40, 1], fill: (i) => (i % 256 < 128 ? rng.gaussian(i) : bad[i % 4]!) });
  });

  it("the f32 cache keeps what f16 cannot hold", async () => {
    const c: KvCase = { kv: "f32", ...BEYOND_FLOAT16, steps: [1, 1, 7] };
    for (const ops of [reference, wasm]) {
      const { outputs, sequence } = await runCase(ops, c, layerOf(c));
      // A first token sees its own value alone.
      expect([...outputs[0]!], ops.name).toEqual(FIRST_VALUE);
      sequence.release();
    }
    await compare(c);
    for (const kv of ["f16,k=f32", "f32,v=q8_0", "k4v4,v=f32"]) await compare({ ...c, kv });
  });
});

describe("threads", () => {
  it("results are the same bits with 1, 2 and 3 threads", async () => {
    const c: KvCase = { kv: "k4v4", numHeads: 6, numKvHeads: 3, steps: [300, 1, 70, 2] };
    const layer = layerOf(c);
    const all: Float32Array[][] = [];
    for (const threads of [1, 2, 3]) {
      const ops = await createWasmBackend({ threads });
      const { outputs } = await runCase(ops, c, layer);
      all.push(outputs);
      await ops.dispose();
    }
    expect(all[1]).toEqual(all[0]);
    expect(all[2]).toEqual(all[0]);
  });
});
