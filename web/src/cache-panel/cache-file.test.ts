import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { startNew } from "../chat/chat-store.ts";
import { engineStore, setCache } from "../engine/engine-store.ts";
import type { CacheState } from "../engine/protocol.ts";
import { TabEngine } from "../engine/tab-engine.ts";
import { CacheFile } from "./cache-file.tsx";

const { engine: before } = engineStore.get();
beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
});
afterEach(() => {
  engineStore.update((state) => ({ ...state, status: "none", engine: before, cache: null }));
  vi.unstubAllGlobals();
});

it("what it says of a save is of that conversation, and not of the next one that is opened", async () => {
  const save = async () => Promise.reject(new Error("there is no room"));
  const engine = Object.assign(Object.create(TabEngine.prototype), { save }) as TabEngine;
  engineStore.update((state) => ({ ...state, status: "ready", engine }));
  startNew();
  setCache({ tokens: 9 } as CacheState);
  const panel = await rendered(h(CacheFile, {}));
  await panel.click("button", "Save cache");
  expect(panel.text("[role=status]")).toBe("there is no room");
  await panel.after(startNew);
  expect(panel.text("[role=status]")).toBeNull();
  panel.close();
});
