/** @file A question that is asked before the model is there. */
import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { stubBrowser } from "../../../test/support/rendered.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { ChatRequest, ChatResult, ModelInfo } from "../engine/protocol.ts";
import { save } from "../ui/saved.ts";
import { chatStore, openChats, startNew } from "./chat-store.ts";
import { ask, newConversation } from "./conversation.ts";
import { openConversationDb } from "./conversation-db.ts";
import { draftOf, draftStore, openDraft, writeDraft } from "./drafts.ts";

// The address is read where it is first asked for.
stubBrowser();
const { linkTo, setAddress } = await import("../ui/route.ts");
const { followAddress } = await import("./address.ts");
const { askStarter, sendWhenReady, takeBack, waitingStore } = await import("./waiting-question.ts");

const STARTER = { title: "A code", text: "Find the code." };
const asked: string[] = [];
const engine = {
  where: "server",
  info: {} as ModelInfo,
  chat: async ({ messages }: ChatRequest) => {
    asked.push(String(messages.at(-1)!.content));
    return { finishReason: "stop", usage: {}, timings: {}, cache: null } as unknown as ChatResult;
  },
  dispose() {},
} as const;

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
const ready = (): void => set({ status: "ready", engine, info: { kv: "k4v4" } as ModelInfo });
const shown = (): string[] => chatStore.get().current.messages.map(({ text }) => text);

const goTo = (_: unknown, __: string, hash: string): void => {
  location.hash = hash;
};

beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("history", { pushState: goTo, replaceState: goTo });
  setAddress(linkTo("chat"), false);
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  asked.length = 0;
  set({ status: "loading", engine: null, info: null });
  takeBack();
  startNew();
  openDraft("elsewhere");
  openDraft(draftOf(chatStore.get().current));
});
afterEach(() => {
  takeBack();
  set({ status: "none", engine: null, info: null });
  vi.unstubAllGlobals();
});

it("a starter waits in sight while the model loads, and is asked once when it is ready", async () => {
  askStarter(STARTER);
  expect(waitingStore.get()).toMatchObject({ starter: STARTER });
  expect([draftStore.get(), shown()]).toEqual(["", []]);
  ready();
  set({ cache: null });
  await vi.waitFor(() => expect(chatStore.get().isAnswering).toBe(false));
  expect([waitingStore.get(), asked]).toEqual([null, [STARTER.text]]);
  expect(chatStore.get().current.title).toBe(STARTER.title);
});

it("one that is taken back is not asked", () => {
  askStarter(STARTER);
  takeBack();
  ready();
  expect([asked, shown()]).toEqual([[], []]);
});

it("what stands in the field is asked as it stands there by then", async () => {
  writeDraft("Hello");
  sendWhenReady();
  expect(draftStore.get(), "it can still be changed").toBe("Hello");
  writeDraft("Hello there");
  ready();
  await vi.waitFor(() => expect(chatStore.get().isAnswering).toBe(false));
  expect([asked, draftStore.get()]).toEqual([["Hello there"], ""]);
});

it("where the model cannot be loaded, or is on no way, a starter comes into the field behind what stands there", () => {
  writeDraft("Mine");
  askStarter(STARTER);
  set({ status: "failed" });
  expect([waitingStore.get(), draftStore.get()]).toEqual([null, `Mine\n\n${STARTER.text}`]);
  askStarter(STARTER);
  expect(draftStore.get(), "not twice").toBe(`Mine\n\n${STARTER.text}`);
  ready();
  expect(asked).toEqual([]);
});

it("a page that opens meanwhile does not go to the conversation of the last visit, and lose the question", async () => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("navigator", {});
  const last = ask(newConversation(), "Of the last visit");
  await (await openConversationDb("the last visit")).put(last);
  save("conversation", last.id);
  save("conversation", last.id, "tab");
  // As a page begins that is loaded again.
  setAddress(linkTo("chat", last.id), false);
  chatStore.update((state) => ({ ...state, current: newConversation() }));
  askStarter(STARTER);
  await openChats();
  const endFollowing = followAddress();
  try {
    expect(waitingStore.get()).toMatchObject({ starter: STARTER });
    expect([shown(), chatStore.get().opening, location.hash]).toEqual([[], "", "#/chat"]);
    ready();
    await vi.waitFor(() => expect(asked).toEqual([STARTER.text]));
  } finally {
    endFollowing();
  }
});

it("it is of the conversation in which it was asked: another one that is opened does not ask it", () => {
  askStarter(STARTER);
  startNew();
  expect(waitingStore.get()).toBeNull();
  ready();
  expect([asked, shown()]).toEqual([[], []]);
});

it("it waits while the conversation of the last visit is being opened, which is not shown then", async () => {
  const { id } = chatStore.get().current;
  chatStore.update((state) => ({ ...state, opening: "of the last visit" }));
  askStarter(STARTER);
  expect(chatStore.get()).toMatchObject({ opening: "", current: { id } });
  expect(waitingStore.get()).toMatchObject({ conversation: id });
});
