/** @file What a model may come to is counted with all pages of its budget, and is told before its weights are read. */
import { expect, it } from "vitest";
import "../node/install.ts";
import { fakeCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { FakeOps } from "../../test/support/fake-ops.ts";
import { shapeConfig } from "../models/shapes.ts";
import { planTogether } from "../plan/memory-plan.ts";
import { modelOfConfig } from "../plan/planned-model.ts";
import { footprintBytes } from "./footprint.ts";
import { LLM } from "./llm.ts";

const model = modelOfConfig(shapeConfig("qwen3-0.6b"), "qwen3-0.6b");
const memory = { what: "the wasm backend", bytes: 2 ** 32, count: 16, bindingBytes: 2 ** 32 };
const base = { model, backend: "wasm", memory, kv: "k4v4", weights: "auto" } as const;
const plan = planTogether(model, { kv: ["k4v4"], weights: "auto", backend: "wasm" });

it("without a budget there are the pages of one sequence", () => {
  expect(footprintBytes(base, 4096)).toBe(plan.at(4096).totalBytes);
});

it("a budget is counted in full, whether a sequence is longer or shorter than it", () => {
  const { totalBytes, cacheBytes } = plan.at(4096);
  expect(footprintBytes({ ...base, kvBudgetBytes: cacheBytes + 1e9 }, 4096)).toBe(totalBytes + 1e9);
  const half = footprintBytes({ ...base, kvBudgetBytes: cacheBytes / 2 }, 4096);
  expect(half).toBeLessThan(totalBytes - 0.4 * cacheBytes);
  expect(half).toBeGreaterThan(plan.weights.bytes + cacheBytes / 2);
});

it("loading tells what it plans, waits for what it is told, and ends with what that throws", async () => {
  const events: string[] = [];
  const ops = new FakeOps();
  const load = (onFit: () => Promise<void>) =>
    LLM.load(fakeCheckpoint(), { backend: ops, onFit, onProgress: ({ phase }) => void events.push(phase) });
  const llm = await load(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    events.push("fits");
  });
  expect(events.indexOf("fits")).toBeLessThan(events.indexOf("load"));
  await llm.dispose();
  ops.isDisposed = false;
  const refused = load(async () => {
    throw new Error("no room");
  });
  await expect(refused).rejects.toThrow("no room");
  expect(ops.isDisposed).toBe(true);
});

it("of a backend that nothing plans, all there is", async () => {
  let told: unknown;
  const onFit = (footprint: unknown): void => {
    told = footprint;
  };
  const llm = await LLM.load(fakeCheckpoint(), { backend: new FakeOps(), memoryBytes: 5e9, onFit });
  expect(told).toMatchObject({ bytes: Number.POSITIVE_INFINITY, availableBytes: expect.any(Number) });
  expect((told as { availableBytes: number }).availableBytes).toBeLessThanOrEqual(5e9);
  await llm.dispose();
});
