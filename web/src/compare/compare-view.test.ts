import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { TabEngine } from "../engine/tab-engine.ts";
import { modelsStore } from "../models/models-store.ts";
import { CompareView } from "./compare-view.tsx";

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
const MODEL = { name: "qwen3-3m", files: [{ name: "config.json", bytes: 9 }] };

beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  set({ status: "ready", info: { name: "large", backendName: "server" } as ModelInfo });
});
afterEach(() => {
  modelsStore.set([]);
  set({ status: "none", choice: null, engine: null, info: null, error: null });
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

it("with a server's model it is no dead end: a button loads the page's own model in the tab, and the form is there", async () => {
  modelsStore.set([MODEL]);
  const info = { name: MODEL.name, backendName: "wasm" } as ModelInfo;
  const engine = Object.assign(Object.create(TabEngine.prototype), { calibrate: async () => null, dispose() {} });
  Object.defineProperty(engine, "info", { value: info });
  const load = vi.spyOn(TabEngine, "load").mockResolvedValue(engine);
  const view = await rendered(h(CompareView, {}));
  expect(view.text("form")).toBeNull();
  await view.click("button", "Compare with qwen3-3m in this tab");
  expect(load.mock.calls[0]![0]).toMatchObject({ model: { kind: "embedded", ...MODEL }, kv: "k4v4" });
  expect(view.text(".compare-form button[type=submit]")).toBe("Compare");
  view.close();
});

it("where no model lies beside the page, it says what to choose", async () => {
  const view = await rendered(h(CompareView, {}));
  expect(view.text(".page > .hint")).toMatch(/Choose a model in this tab/);
  expect(view.texts("button:not(.term)")).toEqual([]);
  view.close();
});
