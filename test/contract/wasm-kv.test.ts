/** @file The contract of the KV path against the WASM backend. */
import { describe, expect, it } from "vitest";
import { createWasmBackend } from "../../src/backends/wasm/backend.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { type KvCase, layerOf, runCase } from "../support/kv-case.ts";
import { APPENDED } from "./append-cases.ts";
import { choiceContract } from "./chosen.ts";
import { CHOICES, CHOSEN } from "./chosen-cases.ts";
import { kvContract } from "./kv.ts";
import {
  BATCHES,
  EIGHT_BITS,
  FORMATS,
  INPUTS,
  LATENTS,
  LONG_LENGTHS,
  MORE_FORMATS,
  MORE_LATENTS,
  MORE_LENGTHS,
  MORE_SLIDING,
  MORE_WIDTHS,
  SLIDING,
  SLOW_FORMATS,
  SUMS,
  TIERS,
  WIDTHS,
  WINDOWS,
} from "./kv-cases.ts";
import { CALIBRATED_PAIRS, LONG_CALIBRATED, PAIRS, PLAIN, WHOLE_HEAD_DIM, WHOLE_PAIRS } from "./kv-pairs.ts";
import { SOFTMAX } from "./softmax-cases.ts";
import { wasmTarget } from "./wasm-target.ts";

it("each of FORMATS attends what is stored, not the copies of a window alone", () => {
  for (const c of [...FORMATS, ...MORE_FORMATS]) {
    const { sinks, window } = parseKvSpec(c.kv).forLayer(0);
    expect(sinks + window, c.kv).toBeLessThan(c.steps.flat().reduce((sum, n) => sum + n, 0));
    if (c.slidingWindow) expect(window, c.kv).toBeLessThan(c.slidingWindow);
  }
});

it("pairs have sinks and window of either width, plain and calibrated", () => {
  for (const pairs of [PAIRS, CALIBRATED_PAIRS]) {
    const windows = pairs.map(({ kv }) => parseKvSpec(kv).forLayer(0)).filter(({ window }) => window > 0);
    const eight = windows.filter(({ windowBits }) => windowBits === 8).length;
    expect(eight).toBeGreaterThan(10);
    expect(windows.length - eight).toBeGreaterThan(10);
  }
});

const isCostly = (name: string, choice: unknown): boolean =>
  (name === "headDim" && Number(choice) >= 192) || (name === "group" && Number(choice) >= 31);

it("PAIRS are cut short where that is said, and each choice is also among those that are not", () => {
  for (const [name, choices] of Object.entries(PLAIN)) {
    const met = WHOLE_PAIRS.map((c) => c[name as keyof typeof PLAIN]);
    expect(
      choices.filter((choice) => met.filter((each) => each === choice).length < (isCostly(name, choice) ? 1 : 5)),
      name,
    ).toEqual([]);
  }
  const lengths = new Set(WHOLE_PAIRS.map(({ steps, headDim }) => `${steps} at ${headDim}`));
  const wanted = PLAIN.headDim
    .filter((d) => d <= WHOLE_HEAD_DIM)
    .flatMap((d) => PLAIN.steps.map((s) => `${s} at ${d}`));
  expect(wanted.filter((each) => !lengths.has(each))).toEqual([]);
});

describe("wasm", () => {
  kvContract(wasmTarget, {
    formats: [...FORMATS, ...MORE_FORMATS],
    sums: SUMS,
    widths: [...WIDTHS, ...MORE_WIDTHS],
    latents: [...LATENTS, ...MORE_LATENTS],
    "formats of no GPU": SLOW_FORMATS,
    lengths: [...MORE_LENGTHS, ...LONG_LENGTHS],
    "windows and sinks": [...WINDOWS, ...SLIDING, ...MORE_SLIDING],
    "sinks and window of 8 bits": EIGHT_BITS,
    "tiers of codes": TIERS,
    "several sequences": BATCHES,
    inputs: INPUTS,
    softmax: SOFTMAX,
    "chosen tokens": CHOSEN,
    "what is appended": APPENDED,
    "two at a time": PAIRS,
    "two at a time, calibrated": CALIBRATED_PAIRS,
    "long and calibrated": LONG_CALIBRATED,
  });

  choiceContract(wasmTarget, CHOICES);

  it("results are the same bits with 1, 2 and 3 threads", async () => {
    const c: KvCase = { kv: "k4v4,window=16bit", numHeads: 6, numKvHeads: 3, steps: [300, 1, 70, 2] };
    const layer = layerOf(c);
    const all: (readonly Float32Array[])[] = [];
    for (const threads of [1, 2, 3]) {
      const ops = await createWasmBackend({ threads });
      all.push((await runCase(ops, c, layer)).outputs);
      await ops.dispose();
    }
    expect(all[1]).toEqual(all[0]);
    expect(all[2]).toEqual(all[0]);
  });
});
