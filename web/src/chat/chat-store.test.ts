/** @file Sending, stopping, answering again and what is kept of it, over an engine that says what the test wants. */
import { IDBFactory, IDBObjectStore } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { attachmentsOf, attachmentsStore, attachText, documentsOf } from "../documents/documents-store.ts";
import type { ChatOptions, Engine } from "../engine/engine.ts";
import { engineStore, setCache } from "../engine/engine-store.ts";
import type { CacheState, ChatRequest, ChatResult, ModelInfo } from "../engine/protocol.ts";
import { EngineError } from "../engine/rpc.ts";
import { forgetCache, forgetModel } from "../kept/kept-store.ts";
import { findConversations, writeAllConversations } from "./all-conversations.ts";
import { answerAgain, editMessage, sendMessage } from "./asking.ts";
import { setDefaultSystem, setSystem } from "./change-current.ts";
import { chatStore, openChats, openConversation, renameConversation, startNew, stopAnswer } from "./chat-store.ts";
import { ask, newConversation } from "./conversation.ts";
import { openConversationDb } from "./conversation-db.ts";
import { deleteConversation, deletedStore, undoDelete } from "./delete-conversation.ts";
import { draftOf, draftStore, openDraft, writeDraft } from "./drafts.ts";
import { listedOf } from "./listed.ts";

const RESULT = {
  finishReason: "stop",
  usage: { promptTokens: 3, completionTokens: 2, cachedTokens: 1 },
  timings: { ttftMs: 5, decodeTokPerSec: 50 },
  cache: null,
} as unknown as ChatResult;

/** Answers as `chat` says; keeps what it was asked. */
function useEngine(chat: (options: ChatOptions, request: ChatRequest) => Promise<ChatResult>): ChatRequest[] {
  const requests: ChatRequest[] = [];
  const engine: Engine = {
    where: "server",
    info: {} as ModelInfo,
    chat: (request, options) => {
      requests.push(request);
      return chat(options, request);
    },
    dispose() {},
  };
  engineStore.update((state) => ({ ...state, status: "ready", engine, info: { kv: "k4v4" } as ModelInfo }));
  return requests;
}

const says =
  (...words: readonly string[]) =>
  async ({ onEvent }: ChatOptions): Promise<ChatResult> => {
    for (const [i, text] of words.entries()) onEvent({ type: "text", text, tokens: i + 1 });
    return RESULT;
  };

const shown = (): string[] =>
  chatStore.get().current.messages.map(({ text, state }) => (state ? `${text} (${state})` : text));

describe("the chat store", () => {
  beforeEach(() => {
    vi.stubGlobal("localStorage", memoryStorage());
    vi.stubGlobal("sessionStorage", memoryStorage());
    vi.stubGlobal("addEventListener", () => {});
    vi.stubGlobal("navigator", {});
    chatStore.update((state) => ({ ...state, others: [], notice: "" }));
    startNew();
  });
  afterEach(() => vi.unstubAllGlobals());

  it("shows the answer with its figures, and sends all turns so far", async () => {
    const requests = useEngine(says("Hello", " there"));
    await sendMessage("Hi");
    expect(shown()).toEqual(["Hi", "Hello there (done)"]);
    expect(chatStore.get()).toMatchObject({ isAnswering: false, prefill: null, current: { title: "Hi" } });
    expect(chatStore.get().current.messages[1]!.figures).toMatchObject({ tokens: 2, cachedTokens: 1, kv: "k4v4" });
    await sendMessage("And?");
    expect(requests[1]!.messages).toEqual([
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello there" },
      { role: "user", content: "And?" },
    ]);
    expect(requests[1]!.conversation).toBe(requests[0]!.conversation);
  });

  it("each conversation has a system message of its own; that of new ones changes no other", async () => {
    await openChats();
    const requests = useEngine(says("Hello"));
    const asked = (): string[] => requests.at(-1)!.messages.map(({ content }) => String(content));
    setDefaultSystem("Be brief.");
    expect(chatStore.get().current.system, "nothing was said in it").toBe("Be brief.");
    await sendMessage("Hi");
    const { id } = chatStore.get().current;
    setDefaultSystem("Be kind.");
    startNew();
    setSystem("In French.");
    setDefaultSystem("");
    await sendMessage("Bonjour");
    expect(asked()).toEqual(["In French.", "Bonjour"]);
    await openConversation(id);
    await sendMessage("And?");
    expect(asked()).toEqual(["Be brief.", "Hi", "Hello", "And?"]);
    setSystem("");
    await sendMessage("Now?");
    expect(asked()[0]).toBe("Hi");
  });

  it("says when an answer ends at the limit", async () => {
    useEngine(async () => ({ ...RESULT, finishReason: "length" }));
    await sendMessage("Hi");
    expect(shown()).toEqual(["Hi", " (cut)"]);
  });

  it("keeps what was said when it is stopped, and takes no second question meanwhile", async () => {
    const requests = useEngine(async ({ onEvent, signal }) => {
      onEvent({ type: "text", text: "Well", tokens: 1 });
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new EngineError({ code: "aborted", message: "stopped" })));
      });
      return RESULT;
    });
    const answering = sendMessage("Hi");
    expect(chatStore.get().isAnswering).toBe(true);
    await sendMessage("Another");
    expect(requests).toHaveLength(1);
    stopAnswer();
    await answering;
    expect(shown()).toEqual(["Hi", "Well (stopped)"]);
  });

  it("an error interrupts the answer and says why", async () => {
    useEngine(async () => {
      throw new EngineError({ code: "out_of_memory", message: "no room" });
    });
    await sendMessage("Hi");
    expect(chatStore.get().current.messages[1]).toMatchObject({ state: "interrupted", problem: "no room" });
    expect(chatStore.get().isAnswering).toBe(false);
  });

  it("an answer that is asked again takes the place of the old one; a question that is edited drops what followed", async () => {
    useEngine(says("one"));
    await sendMessage("Hi");
    useEngine(says("two"));
    await answerAgain(chatStore.get().current.messages[1]!.id);
    expect(shown()).toEqual(["Hi", "two (done)"]);
    await sendMessage("More");
    useEngine(says("three"));
    await editMessage(chatStore.get().current.messages[0]!.id, "Hello");
    expect(shown()).toEqual(["Hello", "three (done)"]);
    expect(chatStore.get().current.title).toBe("Hello");
  });

  it("without an engine nothing is sent", async () => {
    engineStore.update((state) => ({ ...state, engine: null, info: null }));
    await sendMessage("Hi");
    expect(shown()).toEqual([]);
  });

  it("takes what is sent out of the draft, and leaves what is not", async () => {
    openDraft(draftOf(chatStore.get().current));
    writeDraft("Hi");
    attachText("new", "a document");
    const documents = documentsOf(attachmentsOf(attachmentsStore.get(), "new"));
    engineStore.update((state) => ({ ...state, engine: null, info: null }));
    expect(await sendMessage("Hi", { documents })).toBe("not now");
    expect([draftStore.get(), attachmentsStore.get().get("new")?.length]).toEqual(["Hi", 1]);

    useEngine(says("Hello"));
    engineStore.update((state) => ({ ...state, info: { kv: "k4v4", contextLength: 40 } as ModelInfo }));
    expect(await sendMessage(`Hi ${"x".repeat(400)}`)).toMatchObject({ limit: 40 });
    expect(await editMessage("nothing of that id", "Hi")).toBe("not now");
    expect([draftStore.get(), shown()]).toEqual(["Hi", []]);

    engineStore.update((state) => ({ ...state, info: { kv: "k4v4" } as ModelInfo }));
    const answering = sendMessage("Hi", { documents });
    expect([draftStore.get(), attachmentsStore.get().size]).toEqual(["", 0]);
    await answering;
    const [question] = chatStore.get().current.messages;
    expect(question).toMatchObject({ text: "Hi", documents });

    engineStore.update((state) => ({ ...state, info: { kv: "k4v4", contextLength: 40 } as ModelInfo }));
    writeDraft("the next");
    expect(await editMessage(question!.id, "x".repeat(400))).toMatchObject({ limit: 40 });
    expect([draftStore.get(), shown()]).toEqual(["the next", ["Hi", "Hello (done)"]]);
  });

  /** An engine that says "late" and ends when it is told. */
  function useSlowEngine() {
    let finish = (): void => {};
    const requests = useEngine(async ({ onEvent, signal }) => {
      onEvent({ type: "text", text: "late", tokens: 1 });
      await new Promise<void>((resolve, reject) => {
        finish = resolve;
        signal.addEventListener("abort", () => reject(new EngineError({ code: "aborted", message: "stopped" })));
      });
      onEvent({ type: "text", text: " but whole", tokens: 2 });
      return RESULT;
    });
    return { requests, finish: () => finish() };
  }

  it("an answer goes on in the background, and the next question knows it", async () => {
    await openChats();
    const { requests, finish } = useSlowEngine();
    const answering = sendMessage("First");
    const { id } = chatStore.get().current;
    startNew();
    expect(chatStore.get()).toMatchObject({ isAnswering: false, current: { messages: [] } });
    await openConversation(id);
    expect(chatStore.get().isAnswering, "it is still being written").toBe(true);
    startNew();
    finish();
    await answering;
    expect(shown()).toEqual([]);
    await openConversation(id);
    expect(shown()).toEqual(["First", "late but whole (done)"]);
    const again = sendMessage("Second");
    expect(requests[1]!.messages.map(({ content }) => content)).toEqual(["First", "late but whole", "Second"]);
    await vi.waitFor(() => expect(shown()).toContain("late (streaming)"));
    finish();
    await again;
  });

  it("two conversations are answered side by side, and each is stopped alone", async () => {
    await openChats();
    useSlowEngine();
    const one = sendMessage("One");
    const { id } = chatStore.get().current;
    startNew();
    const two = sendMessage("Two");
    stopAnswer();
    await two;
    expect(shown()).toEqual(["Two", "late (stopped)"]);
    await openConversation(id);
    expect(chatStore.get().isAnswering).toBe(true);
    stopAnswer();
    await one;
    expect(shown()).toEqual(["One", "late (stopped)"]);
  });

  it("a conversation that is deleted while it is answered stays deleted; undone, it is there with what was said", async () => {
    await openChats();
    const { finish } = useSlowEngine();
    const answering = sendMessage("Hi");
    const { id } = chatStore.get().current;
    await vi.waitFor(() => expect(shown()).toContain("late (streaming)"));
    await deleteConversation(id);
    finish();
    await answering;
    expect(chatStore.get().others).toEqual([]);
    expect(chatStore.get().current.id).not.toBe(id);
    expect(deletedStore.get()?.id).toBe(id);
    await undoDelete();
    expect(deletedStore.get()).toBeNull();
    expect(chatStore.get()).toMatchObject({ current: { id }, isAnswering: false });
    expect(shown()).toEqual(["Hi", "late (interrupted)"]);
  });

  describe("with conversations of an earlier visit", () => {
    const [sea, hill] = ["Of the sea", "Of the hill"].map((text, i) => ({
      ...ask(newConversation(), text),
      updatedAt: i,
    }));
    beforeEach(async () => {
      vi.stubGlobal("indexedDB", new IDBFactory());
      const db = await openConversationDb("an earlier visit");
      for (const each of [sea!, hill!]) await db.put(each);
      await openChats();
    });

    /** Those of the earlier visit: channels of tests before this one may still tell of theirs. */
    const listed = () => chatStore.get().others.filter(({ id }) => [sea!.id, hill!.id].includes(id));

    it("has their titles in memory and not their texts, which are read when one is opened", async () => {
      expect(listed()).toEqual([hill!, sea!].map(({ id, title, updatedAt }) => ({ id, title, updatedAt })));
      const opening = openConversation(sea!.id);
      expect(chatStore.get()).toMatchObject({ opening: sea!.id, current: { messages: [] } });
      await opening;
      expect(chatStore.get()).toMatchObject({ opening: "", current: { id: sea!.id } });
      expect(shown(), "an answer that nobody writes any more").toEqual(["Of the sea", " (interrupted)"]);
      expect(chatStore.get().current.messages[1]!.problem).toMatch(/reloaded or closed/);
    });

    it("shows the one that was opened last, whichever is read first, and none where another is begun meanwhile", async () => {
      await Promise.all([openConversation(sea!.id), openConversation(hill!.id)]);
      expect(chatStore.get().current.id).toBe(hill!.id);
      const opening = openConversation(sea!.id);
      startNew();
      const { id } = chatStore.get().current;
      await opening;
      expect(chatStore.get()).toMatchObject({ opening: "", current: { id } });
    });

    it("takes a deletion back with all that was said, and renames one that is not open", async () => {
      await deleteConversation(hill!.id);
      expect(deletedStore.get()?.title).toBe("Of the hill");
      expect(listed()).toMatchObject([{ id: sea!.id }]);
      await undoDelete();
      expect(shown()[0]).toBe("Of the hill");
      await renameConversation(sea!.id, " Waves ");
      expect(listed().map(({ title }) => title)).toContain("Waves");
      await openConversation(sea!.id);
      expect(chatStore.get().current).toMatchObject({ title: "Waves", messages: [{ text: "Of the sea" }, {}] });
    });

    it("one that is deleted while it is read is not shown, and one that is gone leaves the list", async () => {
      const { id } = chatStore.get().current;
      const [read, absent] = ["Read", "Deleted in another tab"].map((text) => ask(newConversation(), text));
      await (await openConversationDb("another tab")).put(read!);
      const others = [listedOf(read!), listedOf(absent!), ...chatStore.get().others];
      chatStore.update((state) => ({ ...state, others }));
      const opening = openConversation(read!.id);
      await deleteConversation(read!.id);
      await opening;
      expect(chatStore.get()).toMatchObject({ opening: "", current: { id } });
      await openConversation(absent!.id);
      expect(chatStore.get()).toMatchObject({ opening: "", current: { id } });
      expect(chatStore.get().others).toEqual(others.slice(2));
    });

    it("one that is asked in while another is opened stays, and so does one that comes back", async () => {
      useEngine(says("Hello"));
      const opening = openConversation(sea!.id);
      await sendMessage("Here");
      await opening;
      expect(shown()).toEqual(["Here", "Hello (done)"]);
      await deleteConversation(hill!.id);
      const next = openConversation(sea!.id);
      await Promise.all([undoDelete(), next]);
      expect(chatStore.get()).toMatchObject({ opening: "", current: { id: hill!.id } });
    });

    it("renames what was asked further while it was read, with all of it", async () => {
      useEngine(says("Hello"));
      const renaming = renameConversation(sea!.id, "Waves");
      chatStore.update((state) => ({ ...state, current: ask(sea!, "And?") }));
      await renaming;
      expect(chatStore.get().current).toMatchObject({ id: sea!.id, messages: { length: 4 } });
    });

    it("finds words in texts and titles, and writes all of them, with what is not in the database yet", async () => {
      useEngine(says("Hello"));
      await sendMessage("On the hill");
      const { id } = chatStore.get().current;
      expect(await findConversations("HILL of")).toEqual(new Set([hill!.id]));
      expect(await findConversations("hill")).toEqual(new Set([hill!.id, id]));
      const file = JSON.parse(await writeAllConversations()) as { conversations: { title: string }[] };
      expect(file.conversations.map(({ title }) => title)).toEqual(["On the hill", "Of the hill", "Of the sea"]);
    });

    it("says why one cannot be read, and stays where it is", async () => {
      const { id } = chatStore.get().current;
      vi.spyOn(IDBObjectStore.prototype, "get").mockImplementationOnce(() => {
        throw new DOMException("it is damaged", "UnknownError");
      });
      await openConversation(sea!.id);
      expect(chatStore.get()).toMatchObject({
        opening: "",
        notice: expect.stringMatching(/it is damaged/),
        current: { id },
      });
    });
  });

  it("what was not kept is written when a kept model or cache is deleted, and the notice stays until all is", async () => {
    vi.stubGlobal("indexedDB", new IDBFactory());
    await openChats();
    const db = await openConversationDb("another tab");
    const { id: tooLarge } = chatStore.get().current;
    const { put } = IDBObjectStore.prototype;
    const full = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(function (this: IDBObjectStore, value) {
      if (value.id === tooLarge) throw new DOMException("no room", "QuotaExceededError");
      return put.call(this, value);
    });
    try {
      useEngine(says("one"));
      await sendMessage("Hi");
      await vi.waitFor(() => expect(chatStore.get().notice).toMatch(/storage for this page is full/));
      startNew();
      await sendMessage("Another");
      const { id } = chatStore.get().current;
      await vi.waitFor(async () => expect(await db.get(id)).not.toBeNull());
      expect(chatStore.get().notice).toMatch(/full/);
      full.mockRestore();
      await forgetModel("org/name");
      await vi.waitFor(() => expect(chatStore.get().notice).toBe(""));
    } finally {
      full.mockRestore();
    }
  });

  it("shows what an earlier page could not write, and keeps its draft, while the storage is full", async () => {
    vi.stubGlobal("indexedDB", new IDBFactory());
    const left = ask(newConversation(), "Not written");
    localStorage.setItem("turboquant.unwritten.earlier", JSON.stringify([left]));
    localStorage.setItem(`turboquant.draft.${left.id}`, JSON.stringify("a draft"));
    const full = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
      throw new DOMException("no room", "QuotaExceededError");
    });
    try {
      await openChats();
    } finally {
      full.mockRestore();
    }
    expect(chatStore.get()).toMatchObject({ others: [{ id: left.id }], notice: expect.stringMatching(/full/) });
    await openConversation(left.id);
    openDraft(draftOf(chatStore.get().current));
    expect(draftStore.get()).toBe("a draft");
    expect(shown(), "nobody writes it any more").toEqual(["Not written", " (interrupted)"]);
    expect(chatStore.get().isAnsweredElsewhere).toBe(false);
    await renameConversation(left.id, "Kept");
    expect(chatStore.get().current.title).toBe("Kept");
    await forgetModel("org/name");
    await vi.waitFor(() => expect(chatStore.get().notice).toBe(""));
    expect(localStorage.getItem("turboquant.unwritten.earlier")).toBeNull();
  });

  it("what an earlier page could not write is asked further, and not the older one of the database", async () => {
    vi.stubGlobal("indexedDB", new IDBFactory());
    const older = ask(newConversation(), "Begun");
    const db = await openConversationDb("the earlier page");
    await db.put(older);
    const stored = (await db.get(older.id))!;
    const [question, reply] = stored.messages;
    const left = { ...stored, messages: [question!, { ...reply!, text: "Said since" }] };
    localStorage.setItem("turboquant.unwritten.earlier", JSON.stringify([left]));
    const full = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
      throw new DOMException("no room", "QuotaExceededError");
    });
    try {
      await openChats();
    } finally {
      full.mockRestore();
    }
    await openConversation(older.id);
    expect(shown()).toEqual(["Begun", "Said since (interrupted)"]);
    useEngine(says("Hello"));
    await sendMessage("And?");
    await vi.waitFor(async () => expect((await db.get(older.id))?.messages).toHaveLength(4));
    expect((await db.get(older.id))?.messages[1]?.text).toBe("Said since");
  });

  it("what is not sent with the first message goes with its conversation, and with its deletion", async () => {
    useEngine(says("Hello"));
    attachText("new", "a document");
    await sendMessage("A question to begin with");
    const { id } = chatStore.get().current;
    expect([...attachmentsStore.get()]).toMatchObject([[id, [{ name: "pasted text" }]]]);
    await deleteConversation(id);
    expect(attachmentsStore.get().size, "while it can be undone").toBe(1);
    await deleteConversation("another");
    expect(attachmentsStore.get().size).toBe(0);
  });

  it("shows no cache that was deleted", async () => {
    useEngine(says("one"));
    await sendMessage("Hi");
    const { id } = chatStore.get().current;
    const cache = { tokens: 9 } as CacheState;
    setCache(cache);
    await forgetCache(id);
    expect(engineStore.get().cache, "a server measured it").toBe(cache);
    engineStore.update((state) => ({ ...state, engine: { ...state.engine!, where: "tab" } }));
    await forgetCache("another");
    expect(engineStore.get().cache).toBe(cache);
    await forgetCache(id);
    expect(engineStore.get().cache).toBeNull();
  });

  it("asks the browser not to remove anything when a conversation is kept, before any cache is", async () => {
    const persist = vi.fn(async () => true);
    vi.stubGlobal("navigator", { storage: { persist } });
    vi.stubGlobal("indexedDB", new IDBFactory());
    await openChats();
    expect(persist).not.toHaveBeenCalled();
    useEngine(says("Hello"));
    await sendMessage("Hi");
    await vi.waitFor(() => expect(persist).toHaveBeenCalledTimes(1));
  });

  it("a long prompt says how long the rest of it takes", async () => {
    vi.useFakeTimers();
    try {
      let finish = (): void => {};
      useEngine(async ({ onEvent }) => {
        for (const done of [0, 100]) {
          onEvent({ type: "prefill", done, total: 1000 });
          vi.advanceTimersByTime(2000);
        }
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return RESULT;
      });
      const answering = sendMessage("Hi");
      expect(chatStore.get().prefill).toEqual({ done: 100, total: 1000, secondsLeft: 18 });
      finish();
      await answering;
      expect(chatStore.get().prefill).toBeNull();
    } finally {
      vi.useRealTimers();
    }
  });

  it("says that a browser which keeps no data loses the conversations with the tab", async () => {
    await openChats();
    expect(chatStore.get().notice).toMatch(/conversations end with the tab/);
  });
});
