import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { engineStore } from "../engine/engine-store.ts";
import { TabEngine } from "../engine/tab-engine.ts";
import { forgetCache, keepCache, keptStore } from "./kept-store.ts";

describe("what the browser keeps", () => {
  const { engine: before } = engineStore.get();
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("navigator", {});
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    engineStore.update((state) => ({ ...state, engine: before }));
  });

  it("says of each conversation why its cache could not be kept, until it is kept or deleted", async () => {
    const fates: Record<string, string> = { one: "no room", two: "" };
    const keep = async (id: string) => ({ kept: null, problem: fates[id]! });
    const engine = Object.assign(Object.create(TabEngine.prototype), { keep, forget: async () => {} }) as TabEngine;
    engineStore.update((state) => ({ ...state, engine }));
    const keepNow = async (id: string): Promise<void> => {
      keepCache(id);
      await vi.runAllTimersAsync();
    };
    await keepNow("one");
    await keepNow("two");
    expect([...keptStore.get().problems]).toEqual([["one", "no room"]]);
    fates["one"] = "";
    await keepNow("one");
    fates["two"] = "no room";
    await keepNow("two");
    expect([...keptStore.get().problems]).toEqual([["two", "no room"]]);
    await forgetCache("two");
    expect(keptStore.get().problems.size).toBe(0);
  });
});
