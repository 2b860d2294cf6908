/** @file The panel shows the cache of whatever conversation is open, as the engine has it. */
import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { adoptRestored } from "../cache-panel/restore-file.ts";
import { chatStore, openChats, openConversation, startNew } from "../chat/chat-store.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { CacheState, ModelInfo } from "../engine/protocol.ts";
import { TabEngine } from "../engine/tab-engine.ts";
import { watchCache } from "./watch-cache.ts";

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
const cacheOf = (tokens: number): CacheState => ({ tokens }) as CacheState;
const shown = (): number | undefined => engineStore.get().cache?.tokens;
const caches = new Map<string, CacheState>();
const messages = [{ role: "user", text: "Hi" }] as const;

/** An engine that has these caches in memory. */
function engineWith(kv: string): void {
  const engine = Object.assign(Object.create(TabEngine.prototype), {
    look: async (id: string) => caches.get(id) ?? null,
    keep: async () => ({ kept: null, problem: "" }),
  }) as TabEngine;
  set({ status: "ready", engine, info: { name: "model", kv } as ModelInfo, cache: null });
}

let endWatching = (): void => {};
beforeEach(async () => {
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("indexedDB", new IDBFactory());
  caches.clear();
  await openChats();
  startNew();
  endWatching = watchCache();
});
afterEach(() => {
  endWatching();
  set({ status: "none", engine: null, info: null, cache: null });
  startNew();
  vi.unstubAllGlobals();
});

it("coming back to a conversation shows its cache, which is on the shelf; a new one has none", async () => {
  engineWith("k4v4");
  for (const [id, tokens] of [
    ["one", 11],
    ["two", 22],
  ] as const) {
    adoptRestored(id, { messages, system: "", cache: cacheOf(tokens) });
    caches.set(id, cacheOf(tokens));
  }
  expect(shown()).toBe(22);
  await openConversation("one");
  await vi.waitFor(() => expect(shown()).toBe(11));
  await openConversation("two");
  await vi.waitFor(() => expect(shown()).toBe(22));
  startNew();
  expect(shown()).toBeUndefined();
});

it("after a reload, or when another model or format answers, what that one has is shown", async () => {
  adoptRestored("three", { messages, system: "", cache: cacheOf(3) });
  caches.set("three", cacheOf(33));
  engineWith("k4v4");
  await vi.waitFor(() => expect(shown()).toBe(33));
  caches.set("three", cacheOf(44));
  engineWith("k2v2");
  await vi.waitFor(() => expect(shown()).toBe(44));
  expect(chatStore.get().current.id).toBe("three");
});
