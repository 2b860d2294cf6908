/** @file The tuner on a device, with tiny shapes: every plan is right, answers come one by one, and a lost device loses none of them. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../../../test/support/gpu.ts";
import type { GpuContext } from "../../backends/webgpu/device/context.ts";
import { openDevice } from "../../backends/webgpu/device/open-device.ts";
import type { Winner } from "../../backends/webgpu/plans/kernel-plans.ts";
import { TurboQuantError } from "../../errors.ts";
import { shapeConfig } from "../../models/shapes.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { AttentionSubject } from "./attention-subject.ts";
import { ProductSubject } from "./product-subject.ts";
import type { TuneRow } from "./search.ts";
import { type TuneOptions, type TuneQuestion, tune } from "./tune.ts";

const config = { ...shapeConfig("qwen3-0.6b"), numHeads: 2, numKvHeads: 1, headDim: 32 };
const product = (rows: number, gated: boolean): TuneQuestion => ({
  kind: "product",
  product: { type: "q8", outputs: 48, cols: 96, rows, gated },
});
const attention = (keys: number, rows: number): TuneQuestion => ({
  kind: "attention",
  attention: { config, layer: 0, kv: parseKvSpec("k4v4,search=off"), keys, rows },
});

/** A clock by which nothing takes time but checking and timing a plan, on machines of any speed. */
function clockOf(checkMs: number, timeMs: number): () => number {
  const spies = [AttentionSubject, ProductSubject].flatMap(({ prototype }) => [
    { ms: checkMs, spy: vi.spyOn(prototype, "check") },
    { ms: timeMs, spy: vi.spyOn(prototype, "time") },
  ]);
  return () => spies.reduce((sum, { ms, spy }) => sum + ms * spy.mock.calls.length, 0);
}

async function run(options: TuneOptions) {
  const rows: TuneRow[] = [];
  const answers = new Map<string, Winner | null>();
  const trials = tune({ ...options, onAnswer: async (key, winner) => void answers.set(key, winner) });
  for (;;) {
    const { value, done } = await trials.next();
    if (done) return { rows, answers, summary: value };
    rows.push(value);
  }
}

describe.skipIf(gpuSkip)(`tuning${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  afterEach(() => void vi.restoreAllMocks());

  it("checks and times plans of products, and answers each shape", async () => {
    const questions = [product(1, true), product(9, false)];
    const time = { ms: 1e6, now: clockOf(0, 100) };
    const { rows, answers, summary } = await run({ questions, ...time });
    expect(rows.filter((row) => row.dropped !== undefined)).toEqual([]);
    expect(rows.filter(({ isRule }) => isRule)).toHaveLength(2);
    for (const { us, difference } of rows) {
      expect(us).toBeGreaterThan(0);
      expect(difference).toBeLessThan(1e-6);
    }
    expect(summary).toEqual({ done: 2, cut: 0, left: 0 });
    expect([...answers.keys()]).toEqual(["product q8 48x96, 1 rows, gated", "product q8 48x96, 16 rows"]);
    const again = await run({ questions, ...time, known: new Set(answers.keys()) });
    expect([again.rows, again.summary]).toEqual([[], { done: 2, cut: 0, left: 0 }]);
  });

  it.each([
    ["attention of tokens", attention(40, 1)],
    ["attention of spans", attention(30, 12)],
  ])("checks %s by the reference, and ends with the time", async (kind, question) => {
    // Two checks take more than half of the time, and ten samples end it.
    const { rows, summary } = await run({ questions: [question], ms: 100, now: clockOf(30, 4) });
    expect(rows.filter((row) => row.dropped !== undefined)).toEqual([]);
    expect(rows.map(({ isRule }) => isRule)).toEqual([true, false]);
    for (const { kernel, difference } of rows) {
      expect(kernel).toMatch(kind);
      expect(difference).toBeLessThan(2e-3);
    }
    expect(summary.done + summary.cut).toBe(1);
  });

  it("keeps its answers when the device is lost", async () => {
    const opened: GpuContext[] = [];
    const answers: string[] = [];
    const trials = tune({
      questions: [product(1, true), product(1, false), product(2, false)],
      ...{ ms: 1e6, now: clockOf(0, 100) },
      open: async () => {
        opened.push(await openDevice());
        return opened.at(-1)!;
      },
      onAnswer: async (key) => {
        answers.push(key);
        opened[0]!.device.destroy();
      },
    });
    const ended = (async () => {
      while (!(await trials.next()).done);
    })();
    const error = await ended.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TurboQuantError);
    expect((error as TurboQuantError).code).toBe("device_lost");
    expect(answers).toEqual(["product q8 48x96, 1 rows, gated"]);
    expect(opened).toHaveLength(1);
  });
});
