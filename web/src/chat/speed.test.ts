import { beforeEach, describe, expect, it } from "vitest";
import { noteSpeed, resetSpeed, speedStore } from "./speed.ts";

describe("speed", () => {
  beforeEach(resetSpeed);

  it("is of intervals of at least 200 ms, not of single tokens", () => {
    for (let i = 0; i <= 100; i++) noteSpeed(i + 1, undefined, i * 10);
    const { history, tokPerSec } = speedStore.get();
    expect(history).toEqual([100, 100, 100, 100, 100]);
    expect(tokPerSec).toBe(100);
  });

  it("ends with the engine's own figures, and starts anew with the next answer", () => {
    noteSpeed(1, undefined, 0);
    noteSpeed(11, undefined, 500);
    noteSpeed(12, { ttftMs: 30, prefillMs: 20, decodeMs: 500, prefillTokPerSec: 900, decodeTokPerSec: 22 }, 600);
    expect(speedStore.get()).toEqual({ history: [20], tokPerSec: 22, prefillTokPerSec: 900, ttftMs: 30 });
    resetSpeed();
    noteSpeed(1, undefined, 10_000);
    expect(speedStore.get().history).toEqual([]);
  });
});
