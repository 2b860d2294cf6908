import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { attachmentsOf, attachmentsStore, attachText, documentsOf } from "../documents/documents-store.ts";
import { engineStore, setCache } from "../engine/engine-store.ts";
import type { CacheState, ModelInfo } from "../engine/protocol.ts";
import { EngineError } from "../engine/rpc.ts";
import { forgetCache } from "../kept/kept-store.ts";
import { answerAgain, editMessage, sendMessage } from "./asking.ts";
import { setDefaultSystem, setSystem } from "./change-current.ts";
import { chatStore, openChats, openConversation, startNew, stopAnswer } from "./chat-store.ts";
import { beginWithNothingKept, RESULT, says, shown, useEngine } from "./chat-store-fixture.ts";
import { deleteConversation, deletedStore, undoDelete } from "./delete-conversation.ts";
import { draftOf, draftStore, openDraft, writeDraft } from "./drafts.ts";

describe("the chat store", () => {
  beforeEach(beginWithNothingKept);
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
});
