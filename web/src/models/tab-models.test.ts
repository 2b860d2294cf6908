import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import type { EngineChoice } from "../engine/engine-choice.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { TabModels } from "./tab-models.tsx";

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("navigator", { hardwareConcurrency: 4 });
});
afterEach(() => {
  set({ choice: null, info: null });
  vi.unstubAllGlobals();
});

it("what computes and the weights wait for Apply, which loads the model again with both and all else as it was", async () => {
  const choice = {
    ...{ where: "tab", model: { kind: "url", ref: "org/name" }, kv: "k2v2", backend: "auto", weights: "auto" },
    contextLength: 9000,
  } as const satisfies EngineChoice;
  set({ choice, info: { name: "name" } as ModelInfo });
  const chosen: EngineChoice[] = [];
  const dialog = await rendered(h(TabModels, { onChoose: (next: EngineChoice) => void chosen.push(next) }));
  const apply = () => dialog.root.querySelector<HTMLButtonElement>(".apply")!;
  const pick = (group: string, at: number): Promise<void> =>
    dialog.after(() => dialog.root.querySelectorAll(`input[name=${group}]`)[at]!.dispatchEvent(new Event("change")));
  expect([apply().textContent, apply().disabled]).toEqual(["Apply to name", true]);
  await pick("backend", 2);
  await pick("weights", 1);
  expect([apply().disabled, chosen]).toEqual([false, []]);
  await dialog.click(".apply");
  expect(chosen).toEqual([{ ...choice, backend: "wasm", weights: "q8" }]);
  dialog.close();
});

it("without a model that works, says that both are for the one that is chosen", async () => {
  const dialog = await rendered(h(TabModels, { onChoose() {} }));
  expect(dialog.root.querySelector(".apply")).toBeNull();
  expect(dialog.texts(".form > .hint")).toEqual(["Both are for the model that you choose below."]);
  dialog.close();
});
