import { describe, expect, it } from "vitest";
import { linkedAbort } from "./linked-abort.ts";

describe("linkedAbort", () => {
  it("follows a signal with its reason, before and after it was made", () => {
    const outer = new AbortController();
    const before = linkedAbort(outer.signal).controller;
    expect(before.signal.aborted).toBe(false);
    outer.abort("stop");
    const after = linkedAbort(outer.signal).controller;
    expect([before.signal.reason, after.signal.reason]).toEqual(["stop", "stop"]);
  });

  it("aborts for reasons of its own without the signal that it follows, and without any", () => {
    const outer = new AbortController();
    for (const signal of [outer.signal, undefined]) {
      const { controller } = linkedAbort(signal);
      controller.abort("own");
      expect(controller.signal.reason).toBe("own");
    }
    expect(outer.signal.aborted).toBe(false);
  });

  it("follows no longer when it is released", () => {
    const outer = new AbortController();
    const { controller, release } = linkedAbort(outer.signal);
    release();
    outer.abort();
    expect(controller.signal.aborted).toBe(false);
  });
});
