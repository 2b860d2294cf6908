import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ask, type Conversation, changeAnswer, newConversation, unread } from "./conversation.ts";
import { type ConversationDb, openConversationDb } from "./conversation-db.ts";

const questions = ({ messages }: Conversation): string[] =>
  messages.filter(({ role }) => role === "user").map(({ text }) => text);

async function keptIn(db: ConversationDb, id: string): Promise<string[]> {
  return questions((await db.get(id))!);
}

/** Two tabs that have read the same conversation. */
async function twoTabs() {
  const [one, two] = [await openConversationDb("one"), await openConversationDb("two")];
  const asked = ask(newConversation(), "France?");
  await one.put(asked);
  return { one, two, asked, read: (await two.get(asked.id))! };
}

describe("the database of conversations", () => {
  beforeEach(() => vi.stubGlobal("indexedDB", new IDBFactory()));
  afterEach(() => vi.unstubAllGlobals());

  it("merges what another tab has written, also where it was read since and not taken over", async () => {
    const { one, two, asked, read } = await twoTabs();
    await one.put(ask(asked, "Italy?"));
    await two.get(asked.id);
    await two.each(() => {});
    const merged = await two.put(ask(read, "Malta?"));
    expect(questions(merged as Conversation)).toEqual(["France?", "Italy?", "Malta?"]);
    expect(await keptIn(one, asked.id)).toEqual(["France?", "Italy?", "Malta?"]);
  });

  it("loses nothing when an answer grows before its tab has taken over what was merged", async () => {
    const { one, two, asked, read } = await twoTabs();
    await two.put(ask(read, "Malta?"));
    const mine = ask(asked, "Italy?");
    const grown = changeAnswer(mine, mine.messages.at(-1)!.id, { text: "Rome", state: "done" });
    const [first, last] = await Promise.all([one.put(mine), one.put(grown)]);
    for (const outcome of [first, last]) {
      expect(questions(outcome as Conversation)).toEqual(["France?", "Malta?", "Italy?"]);
    }
    expect((last as Conversation).messages.at(-1)).toMatchObject({ text: "Rome", state: "done" });
    expect(await keptIn(two, asked.id)).toEqual(["France?", "Malta?", "Italy?"]);
    // What was merged and taken over is written as it is from then on.
    const taken = last as Conversation;
    expect(await one.put({ ...taken, messages: taken.messages.slice(0, 2) })).toBe("kept");
    expect(await keptIn(two, asked.id)).toEqual(["France?"]);
  });

  it("writes what one tab alone has changed as it is, however often", async () => {
    const { one, two, asked, read } = await twoTabs();
    expect(await one.put(ask(asked, "Italy?"))).toBe("kept");
    expect(await one.put(asked)).toBe("kept");
    expect(await keptIn(two, asked.id)).toEqual(["France?"]);
    expect(await two.put(ask((await two.get(read.id))!, "Malta?"))).toBe("kept");
  });

  it("does not bring back what another tab has deleted; what is undone is written anew", async () => {
    const { one, two, asked, read } = await twoTabs();
    const own = (await one.get(asked.id))!;
    await two.delete(asked.id);
    expect(await one.put(ask(own, "Italy?"))).toBe("gone");
    expect(await one.get(asked.id)).toBeNull();
    expect(await two.put(unread(read))).toBe("kept");
    expect(await keptIn(one, asked.id)).toEqual(["France?"]);
  });

  it("merges what a tab made of a conversation before it was deleted and written anew", async () => {
    const { one, two, asked, read } = await twoTabs();
    for (let time = 0; time < 3; time++) await one.put(asked);
    const old = (await two.get(read.id))!;
    await one.delete(asked.id);
    await one.put(ask(unread(asked), "Italy?"));
    const merged = await two.put(ask(old, "Malta?"));
    expect(questions(merged as Conversation)).toEqual(["France?", "Italy?", "Malta?"]);
    expect(await keptIn(one, asked.id)).toEqual(["France?", "Italy?", "Malta?"]);
  });

  it("goes through all conversations, past what is none, in more than one reading", async () => {
    const db = await openConversationDb("one");
    const ids = Array.from({ length: 70 }, (_, i) => `c${String(i).padStart(2, "0")}`);
    for (const id of ids) await db.put({ ...newConversation(), id });
    const request = indexedDB.open("turboquant", 1);
    await new Promise((resolve) => (request.onsuccess = resolve));
    const store = request.result.transaction("conversations", "readwrite").objectStore("conversations");
    store.put({ id: "c40", title: "damaged" });
    const read: string[] = [];
    await db.each(({ id }) => read.push(id));
    expect(read.sort()).toEqual(ids.filter((id) => id !== "c40"));
    request.result.close();
  });

  it("reads records that do not say how often they were written", async () => {
    const { one, asked } = await twoTabs();
    const request = indexedDB.open("turboquant", 1);
    await new Promise((resolve) => (request.onsuccess = resolve));
    const old = { ...unread(ask(asked, "Italy?")) };
    request.result.transaction("conversations", "readwrite").objectStore("conversations").put(old);
    const read = (await one.get(asked.id))!;
    expect(await one.put(ask(read, "Malta?"))).toBe("kept");
    expect(await keptIn(one, asked.id)).toEqual(["France?", "Italy?", "Malta?"]);
    request.result.close();
  });
});
