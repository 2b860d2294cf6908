/** @file The field for the next message while there is no model yet. */
import { Fragment, h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import { chatStore, startNew } from "./chat-store.ts";
import { draftStore, writeDraft } from "./drafts.ts";

// The address is read where it is first asked for.
stubBrowser();
const { Composer } = await import("./composer.tsx");
const { WaitingNote } = await import("./waiting-note.tsx");
const { takeBack, waitingStore } = await import("./waiting-question.ts");

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));

beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  startNew();
});
afterEach(() => {
  takeBack();
  writeDraft("");
  set({ status: "none" });
  vi.unstubAllGlobals();
});

it("sends once the model is ready what is sent while it loads, says so, and takes it back", async () => {
  set({ status: "loading", engine: null, info: null });
  const page = await rendered(h(Fragment, null, h(WaitingNote, {}), h(Composer, {})));
  const button = () => page.root.querySelector<HTMLButtonElement>(".send-button")!;
  expect(button().disabled, "nothing to send").toBe(true);
  await page.after(() => writeDraft("Hello"));
  expect(button().disabled).toBe(false);
  const submit = () => page.root.querySelector("form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  await page.after(submit);
  expect(waitingStore.get()).toEqual({ conversation: chatStore.get().current.id, starter: null });
  expect(page.text(".waiting-note p")).toBe("What stands below is asked as soon as the model is ready.");
  expect([button().disabled, draftStore.get()]).toEqual([true, "Hello"]);
  await page.click(".waiting-note button", "Take back");
  expect([page.text(".waiting-note"), button().disabled]).toEqual([null, false]);
  await page.after(() => set({ status: "none" }));
  expect(button().disabled, "no model is on its way").toBe(true);
  await page.after(submit);
  expect(waitingStore.get()).toBeNull();
  page.close();
});
