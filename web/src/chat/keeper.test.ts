import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { ask, changeAnswer, newConversation } from "./conversation.ts";
import { type ConversationDb, openConversationDb } from "./conversation-db.ts";
import { Keeper } from "./keeper.ts";

/** A database that tells the lengths of the answers it was given. */
function makeKeeper(tab = "tab") {
  const written: number[] = [];
  const db = {
    put: vi.fn(async ({ messages }) => {
      written.push(messages.at(-1).text.length);
      return "kept";
    }),
  } as unknown as ConversationDb;
  const errors: unknown[] = [];
  const kept: string[] = [];
  const events = { onKept: (id: string) => kept.push(id), onError: (error: unknown) => errors.push(error) };
  return { keeper: new Keeper(db, tab, events), db, written, errors, kept };
}

const asked = ask(newConversation(), "Go on");
const grown = (length: number) => changeAnswer(asked, asked.messages[1]!.id, { text: "x".repeat(length) });

/** A tab leaves with two conversations that wait to be written. returns: the second */
function leaveTwo() {
  const { keeper } = makeKeeper("one");
  const other = ask(newConversation(), "Another");
  keeper.keep(grown(7));
  keeper.keep(other);
  keeper.leave();
  return other;
}

describe("Keeper", () => {
  const storage = memoryStorage();
  beforeEach(() => {
    storage.clear();
    vi.useFakeTimers();
    vi.stubGlobal("localStorage", storage);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("writes a few times a second, the newest state, and at once when told to", async () => {
    const { keeper, written } = makeKeeper();
    for (let length = 1; length <= 100; length++) {
      keeper.keep(grown(length));
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(written.length).toBeGreaterThanOrEqual(3);
    expect(written.length).toBeLessThanOrEqual(4);
    keeper.keep(grown(200), true);
    expect(written.at(-1)).toBe(200);
  });

  it("a page that leaves loses nothing: the next one writes what waited", async () => {
    const { keeper } = makeKeeper();
    keeper.keep(grown(7));
    keeper.leave();
    const next = makeKeeper();
    await next.keeper.recover();
    expect(next.written).toEqual([7]);
    await next.keeper.recover();
    expect(next.written).toEqual([7]);
  });

  it("a page that leaves with everything written leaves nothing behind", async () => {
    const { keeper } = makeKeeper();
    keeper.keep(grown(7), true);
    await vi.advanceTimersByTimeAsync(1);
    keeper.leave();
    expect(storage.length).toBe(0);
  });

  it("pages that leave at the same time leave each its own", async () => {
    for (const [tab, length] of [
      ["one", 3],
      ["two", 4],
    ] as const) {
      const { keeper } = makeKeeper(tab);
      keeper.keep(grown(length));
      keeper.leave();
    }
    const next = makeKeeper();
    await next.keeper.recover();
    expect(next.written).toEqual([3, 4]);
    expect(storage.length).toBe(0);
  });

  it("a page that comes back after it left writes what waited, and leaves nothing behind", async () => {
    const { keeper, written } = makeKeeper();
    keeper.keep(grown(7));
    keeper.leave();
    expect(storage.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(written).toEqual([7]);
    expect(storage.length).toBe(0);
  });

  it("what a page has left of a conversation goes with its deletion in another page", async () => {
    const other = leaveTwo();
    const next = makeKeeper("two");
    next.keeper.drop(asked.id);
    await next.keeper.recover();
    expect(vi.mocked(next.db.put).mock.calls.map(([{ id }]) => id)).toEqual([other.id]);
  });

  it("a page that leaves before it hears of a deletion does not bring the conversation back", async () => {
    vi.useRealTimers();
    vi.stubGlobal("indexedDB", new IDBFactory());
    const [one, two] = [await openConversationDb("one"), await openConversationDb("two")];
    const events = { onKept: vi.fn(), onError: vi.fn() };
    const keeper = new Keeper(one, "one", events);
    keeper.keep(grown(1), true);
    await vi.waitFor(() => expect(events.onKept).toHaveBeenCalled());
    keeper.keep(grown(2));
    await two.delete(asked.id);
    keeper.leave();
    const third = await openConversationDb("three");
    await new Keeper(third, "three", events).recover();
    expect(await third.get(asked.id)).toBeNull();
    // Nor does one that stays; what is added from a file after that is kept.
    keeper.retry();
    await vi.waitFor(() => expect(events.onKept).toHaveBeenLastCalledWith(asked.id, "gone"));
    keeper.drop(asked.id);
    keeper.keep(grown(3), true);
    await vi.waitFor(() => expect(events.onKept).toHaveBeenLastCalledWith(asked.id, "kept"));
  });

  it("what cannot be written when a page opens stays where it was left until it is", async () => {
    leaveTwo();
    const next = makeKeeper("two");
    vi.mocked(next.db.put).mockRejectedValueOnce(new Error("quota"));
    expect(await next.keeper.recover()).toEqual([grown(7)]);
    expect(next.errors).toEqual([new Error("quota")]);
    expect(next.keeper.isBehind).toBe(true);
    const third = makeKeeper("three");
    vi.mocked(third.db.put).mockRejectedValueOnce(new Error("quota"));
    expect(await third.keeper.recover(), "left by the first page still").toEqual([grown(7)]);
    next.keeper.retry();
    await vi.advanceTimersByTimeAsync(1);
    expect(next.written).toEqual([0, 7]);
    expect(storage.length).toBe(0);
  });

  it("conversations wait side by side; a deleted one is not written", async () => {
    const { keeper, written, kept } = makeKeeper();
    keeper.keep(grown(5));
    const other = ask(newConversation(), "Another");
    keeper.keep(other);
    keeper.drop(other.id);
    await vi.advanceTimersByTimeAsync(1000);
    expect(written).toEqual([5]);
    expect(kept).toEqual([asked.id]);
  });

  it("passes on why nothing can be kept, and writes it when it is told that there is room", async () => {
    const { keeper, db, errors, written } = makeKeeper();
    vi.mocked(db.put).mockRejectedValueOnce(new Error("quota"));
    keeper.keep(grown(1), true);
    await vi.advanceTimersByTimeAsync(1);
    expect(errors).toEqual([new Error("quota")]);
    keeper.retry();
    await vi.advanceTimersByTimeAsync(1);
    expect(written).toEqual([1]);
  });
});
