import { describe, expect, it } from "vitest";
import type { LLM } from "../llm.ts";
import { calibrateWhenIdle, untilIdle } from "./idle-calibration.ts";

const MADE = { isMade: true, note: "made" };
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const times = { idleMs: 5, lookMs: 1 };

/** A model whose calibration takes `ms`, and ends early when it is told to. */
function model(ms: number) {
  const begun: AbortSignal[] = [];
  const calibrate: LLM["calibrate"] = async ({ signal } = {}) => {
    begun.push(signal!);
    for (const end = performance.now() + ms; performance.now() < end; ) {
      signal!.throwIfAborted();
      await wait(1);
    }
    return MADE;
  };
  return { begun, llm: { calibrate } as unknown as LLM };
}

describe("calibrateWhenIdle", () => {
  it("waits until nothing is at work, gives way to a request, and begins again", async () => {
    let busy = true;
    const { begun, llm } = model(40);
    const made = calibrateWhenIdle(llm, { ...times, isIdle: () => !busy, signal: new AbortController().signal });
    await wait(20);
    expect(begun, "not beside a request").toHaveLength(0);
    busy = false;
    while (begun.length === 0) await wait(1);
    busy = true;
    while (!begun[0]!.aborted) await wait(1);
    busy = false;
    expect(await made).toEqual(MADE);
    expect(begun).toHaveLength(2);
  });

  it("ends with its signal, before and while it is at work; other errors are the caller's", async () => {
    const ending = new AbortController();
    const { begun, llm } = model(10_000);
    const made = calibrateWhenIdle(llm, { ...times, isIdle: () => true, signal: ending.signal });
    while (begun.length === 0) await wait(1);
    ending.abort();
    expect(await made).toBeNull();
    expect(await untilIdle({ ...times, isIdle: () => false, signal: ending.signal })).toBe(false);
    const broken = { calibrate: () => Promise.reject(new Error("lost")) } as unknown as LLM;
    const options = { ...times, isIdle: () => true, signal: new AbortController().signal };
    await expect(calibrateWhenIdle(broken, options)).rejects.toThrow("lost");
  });
});
