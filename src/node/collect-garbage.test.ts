import { expect, it } from "vitest";
import { collectGarbage } from "./collect-garbage.ts";

/** A function of its own, as the frame of a test that waits may still hold what it made. */
const refer = (): WeakRef<object> => new WeakRef({ name: "gone" });

it("what nothing refers to is gone, and the rest is not", async () => {
  const kept = { name: "kept" };
  const [gone, stays] = [refer(), new WeakRef(kept)];
  while (gone.deref()) {
    // Until the end of a task what it has made a reference to, or looked at by one, stays.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  expect(stays.deref()).toBe(kept);
});
