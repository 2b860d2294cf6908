import { expect, it } from "vitest";
import { KeptPlans } from "./kept-plans.ts";

it("plans that cannot be kept do not end the search, and the error waits for the end", async () => {
  let isFull = true;
  const texts: string[] = [];
  const shelf = {
    find: async () => null,
    remove: async () => null,
    keep: async (name: string, text: string) => {
      if (isFull) throw new Error("no space is left");
      texts.push(text);
      return `/plans/${name}`;
    },
  };
  const kept = new KeptPlans(shelf, "adapter");
  expect(() => kept.end()).not.toThrow();
  await kept.put("one");
  expect(kept.place).toBeNull();
  expect(() => kept.end()).toThrow("no space is left");
  // Each text has all answers, so one that is kept mends those before it.
  isFull = false;
  await kept.put("one, two");
  expect([kept.place, texts]).toEqual(["/plans/adapter", ["one, two"]]);
  expect(() => kept.end()).not.toThrow();
  isFull = true;
  await kept.put("one, two, three");
  expect(kept.place).toBeNull();
  expect(() => kept.end()).toThrow("no space is left");
});
