/** @file Files and folders that are dropped on the page, as a browser hands them over. */
import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { type Rendered, rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { chatStore, startNew } from "../chat/chat-store.ts";
import { attachmentsOf, attachmentsStore, dropAttachments } from "../documents/documents-store.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { CacheState } from "../engine/protocol.ts";
import { TabEngine } from "../engine/tab-engine.ts";

type Tree = { readonly [name: string]: Tree | string };

/** An entry of a drop; a folder hands out two of its entries at a time, and none at the end. */
function entryOf(fullPath: string, content: Tree | string): object {
  const name = fullPath.slice(fullPath.lastIndexOf("/") + 1);
  if (typeof content === "string") {
    const file = new File([content], name);
    return { isFile: true, isDirectory: false, fullPath, file: (take: (file: File) => void) => take(file) };
  }
  const inner = Object.entries(content).map(([name, each]) => entryOf(`${fullPath}/${name}`, each));
  const createReader = () => {
    let at = 0;
    return { readEntries: (take: (some: object[]) => void) => take(inner.slice(at, (at += 2))) };
  };
  return { isFile: false, isDirectory: true, fullPath, createReader };
}

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
let page: Rendered;

beforeEach(async () => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  const { useDroppedFiles } = await import("./drop.ts");
  const Page = () => {
    useDroppedFiles(() => {});
    return null;
  };
  set({ status: "ready", error: null, choice: null });
  startNew();
  page = await rendered(h(Page, {}));
});
afterEach(() => {
  page.close();
  dropAttachments("new");
  set({ status: "none", engine: null, info: null, choice: null, error: null });
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** Drops what stands at the top of a tree. returns: whether the page took it, so that the browser does not open it */
async function drop(tree: Tree): Promise<boolean> {
  const items = Object.entries(tree).map(([name, content]) => ({
    kind: "file",
    webkitGetAsEntry: () => entryOf(`/${name}`, content),
  }));
  const event = Object.assign(new Event("drop", { bubbles: true, cancelable: true }), {
    dataTransfer: { types: ["Files"], items },
  });
  await page.after(() => document.body.dispatchEvent(event));
  return event.defaultPrevented;
}

it("a folder is walked to its end, and the model in it is loaded with the files beside it", async () => {
  const load = vi.spyOn(TabEngine, "load").mockReturnValue(new Promise(() => {}));
  const taken = await drop({
    top: {
      "README.md": "read me",
      model: { "config.json": "{}", "tokenizer.json": "{}", "a.safetensors": "1", "b.safetensors": "2" },
    },
  });
  expect(taken).toBe(true);
  await vi.waitFor(() => expect(load).toHaveBeenCalled());
  const { model, kv } = load.mock.calls[0]![0];
  expect(model).toMatchObject({ kind: "folder", name: "model" });
  const files = model.kind === "folder" ? model.files.map(([name]) => name) : [];
  expect([files, kv]).toEqual([["config.json", "tokenizer.json", "a.safetensors", "b.safetensors"], "k4v4"]);
});

it("a folder without a model says what is missing", async () => {
  await drop({ top: { "README.md": "read me" } });
  await vi.waitFor(() => expect(engineStore.get().error?.message).toMatch(/no config\.json and no \.gguf/));
});

it("a saved cache is restored as a conversation, whose text it has", async () => {
  const restore = vi.fn(async () => ({
    ...{ system: "", cache: { tokens: 7 } as CacheState },
    messages: [{ role: "user", text: "Once upon a time" }],
  }));
  const engine = Object.assign(Object.create(TabEngine.prototype), { restore, keep: async () => null });
  set({ engine });
  await drop({ "story.tqkv": "bytes" });
  await vi.waitFor(() => expect(engineStore.get().cache?.tokens).toBe(7));
  expect(chatStore.get().current).toMatchObject({
    title: "Once upon a time",
    messages: [{ text: "Once upon a time" }],
  });
});

it("a saved cache without a model in the tab says which is needed", async () => {
  await drop({ "story.tqkv": "bytes" });
  await vi.waitFor(() => expect(engineStore.get().error?.message).toMatch(/story\.tqkv: .* choose that one first/));
});

it("a text is a document of the next message", async () => {
  await drop({ "notes.txt": "Words." });
  await vi.waitFor(() =>
    expect(attachmentsOf(attachmentsStore.get(), "new")).toMatchObject([{ document: { text: "Words." } }]),
  );
});
