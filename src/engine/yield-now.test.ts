import { MessageChannel as NodeMessageChannel } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { yieldNow } from "./yield-now.ts";

/** Ports that do not keep the process alive. */
class Channel extends NodeMessageChannel {
  constructor() {
    super();
    queueMicrotask(() => this.port1.unref());
  }
}

describe("yieldNow", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("lets other tasks run", async () => {
    let ran = false;
    setImmediate(() => {
      ran = true;
    });
    await yieldNow();
    expect(ran).toBe(true);
  });

  it("in a browser waits for no timer: a tab in the background has one a minute", async () => {
    vi.stubGlobal("setImmediate", undefined);
    vi.stubGlobal("MessageChannel", Channel);
    vi.stubGlobal("setTimeout", () => {
      throw new Error("a timer");
    });
    const order: number[] = [];
    await Promise.all([yieldNow().then(() => order.push(1)), yieldNow().then(() => order.push(2))]);
    await yieldNow();
    expect(order).toEqual([1, 2]);
  });
});
