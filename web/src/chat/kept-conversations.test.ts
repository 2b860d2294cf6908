/** @file What the browser keeps of conversations: those of an earlier visit, a storage that is full or cannot be read, and none at all. */
import { IDBFactory, IDBObjectStore } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { forgetModel } from "../kept/kept-store.ts";
import { findConversations, writeAllConversations } from "./all-conversations.ts";
import { sendMessage } from "./asking.ts";
import { chatStore, openChats, openConversation, renameConversation, startNew } from "./chat-store.ts";
import { beginWithNothingKept, openWhileFull, says, shown, useEngine } from "./chat-store-fixture.ts";
import { ask, newConversation } from "./conversation.ts";
import { openConversationDb } from "./conversation-db.ts";
import { deleteConversation, deletedStore, undoDelete } from "./delete-conversation.ts";
import { draftOf, draftStore, openDraft } from "./drafts.ts";
import { listedOf } from "./listed.ts";

describe("conversations that are kept", () => {
  beforeEach(beginWithNothingKept);
  afterEach(() => vi.unstubAllGlobals());
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
    await openWhileFull();
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
    await openWhileFull();
    await openConversation(older.id);
    expect(shown()).toEqual(["Begun", "Said since (interrupted)"]);
    useEngine(says("Hello"));
    await sendMessage("And?");
    await vi.waitFor(async () => expect((await db.get(older.id))?.messages).toHaveLength(4));
    expect((await db.get(older.id))?.messages[1]?.text).toBe("Said since");
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

  it("says that a browser which keeps no data loses the conversations with the tab", async () => {
    await openChats();
    expect(chatStore.get().notice).toMatch(/conversations end with the tab/);
  });
});
