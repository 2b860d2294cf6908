import { expect, it } from "vitest";
import { collectGarbage } from "./collect-garbage.ts";

it("what nothing refers to is gone, and the rest is not", async () => {
  const kept = { name: "kept" };
  const [gone, stays] = [new WeakRef({ name: "gone" }), new WeakRef(kept)];
  // Until the end of a task what it has made a reference to stays.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  collectGarbage();
  expect([gone.deref(), stays.deref()]).toEqual([undefined, kept]);
});
