import { expect, it } from "vitest";
import { collectGarbage } from "./collect-garbage.ts";

// In functions of their own, as the frame of a test that waits may still hold what it made or looked at.
const refer = (): WeakRef<object> => new WeakRef({ name: "gone" });
const isThere = (ref: WeakRef<object>): boolean => ref.deref() !== undefined;

it("what nothing refers to is gone, and the rest is not", async ({ signal }) => {
  const kept = { name: "kept" };
  const [gone, stays] = [refer(), new WeakRef(kept)];
  // As often as it takes: until the end of a task what it has made a reference to, or looked at by one, stays.
  while (isThere(gone) && !signal.aborted) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  expect([gone.deref(), stays.deref()]).toEqual([undefined, kept]);
});
