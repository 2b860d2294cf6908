import { expect, it } from "vitest";
import { secondsLeft } from "./prefill.ts";

const start = (ms: number) => ({ ms, done: 0 });

it("says how long the rest of a prompt takes, once all of it takes more than five seconds", () => {
  expect(secondsLeft(100, 1000, start(1000))).toBe(9);
  expect(secondsLeft(100, 1000, start(500)), "4.5 s more, 5 s in all").toBeNull();
  expect(secondsLeft(900, 1000, start(9000)), "also when little is left").toBe(1);
});

it("counts the speed from the first report on: what was in the cache by then took no time", () => {
  expect(secondsLeft(600, 1000, { ms: 2000, done: 500 })).toBe(8);
});

it("says nothing before there is a speed, or at the end", () => {
  expect(secondsLeft(0, 1000, start(8000))).toBeNull();
  expect(secondsLeft(500, 1000, start(0))).toBeNull();
  expect(secondsLeft(1000, 1000, start(9000))).toBeNull();
});
