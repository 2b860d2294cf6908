/** @file A store that fails is left alone, longer each time, and used again when it answers. */
import { expect, it } from "vitest";
import { StoreHealth } from "./store-health.ts";

it("pauses for longer with each fault, up to half a minute, and not at all behind an answer", () => {
  let now = 0;
  const notes: string[] = [];
  const health = new StoreHealth({
    now: () => now,
    onNote: (note) => notes.push(note),
    onBack: () => notes.push("back"),
  });
  const pauses: number[] = [];
  for (let i = 0; i < 7; i++) {
    health.onFault(new Error("connect ECONNREFUSED\n at stack"));
    const from = now;
    while (!health.isUp) now += 500;
    pauses.push(now - from);
  }
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  health.onSuccess();
  expect(notes).toEqual(["fails (connect ECONNREFUSED); requests go on without it", "answers again", "back"]);
  health.onFault("again");
  health.onFault("of the same moment");
  now += 1000;
  expect(health.isUp).toBe(true);
});
