/** @file When a prefix is fetched: where that is expected to be faster than to compute it. */
import { expect, it } from "vitest";
import { computeMs, FetchPlan, fetchMs } from "./fetch-plan.ts";

const PREFIX = { tokens: 1000, bytes: 2_000_000 };

it("weighs tokens against one answer and its bytes", () => {
  const rates = { latencyMs: 10, msPerByte: 1e-5, msPerToken: 0.02 };
  expect(computeMs(PREFIX, rates)).toBe(20);
  expect(fetchMs(PREFIX, rates)).toBe(30);
  const plan = new FetchPlan();
  plan.onAnswer(10);
  plan.onRead(1_000_000, 10);
  expect(plan.rates(0.02)).toEqual(rates);
  expect(plan.isWorth(PREFIX, 0.02)).toBe(false);
  expect(plan.isWorth(PREFIX, 0.031)).toBe(true);
  expect(plan.isWorth({ ...PREFIX, bytes: 500_000 }, 0.02)).toBe(true);
  // Not what would not come in time.
  expect(plan.isWorth(PREFIX, 1, 31)).toBe(true);
  expect(plan.isWorth(PREFIX, 1, 30)).toBe(false);
});

it("fetches while nothing is known of either side", () => {
  const plan = new FetchPlan();
  expect(plan.isWorth(PREFIX, null)).toBe(true);
  expect(plan.isWorth(PREFIX, 1e-9)).toBe(true);
  plan.onAnswer(1e9);
  expect(plan.isWorth(PREFIX, null)).toBe(true);
});

it("follows what fetches take, and tries a store that was too slow again", () => {
  const plan = new FetchPlan();
  plan.onAnswer(1e6);
  const refused = (): number => {
    let count = 0;
    while (!plan.isWorth(PREFIX, 1)) count++;
    return count;
  };
  expect(refused()).toBe(63);
  expect(refused()).toBe(63);
  for (let i = 0; i < 60; i++) plan.onAnswer(1);
  expect(plan.rates(1).latencyMs).toBeCloseTo(1, 1);
  expect(refused()).toBe(0);
});
