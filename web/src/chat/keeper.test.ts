import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ask, changeAnswer, newConversation } from "./conversation.ts";
import type { ConversationDb } from "./conversation-db.ts";
import { Keeper } from "./keeper.ts";

/** A database that tells the lengths of the answers it was given. */
function makeKeeper() {
  const written: number[] = [];
  const db = {
    put: vi.fn(async ({ messages }) => void written.push(messages.at(-1).text.length)),
  } as unknown as ConversationDb;
  const errors: unknown[] = [];
  return { keeper: new Keeper(db, (error) => errors.push(error)), db, written, errors };
}

const asked = ask(newConversation(), "Go on");
const grown = (length: number) => changeAnswer(asked, asked.messages[1]!.id, { text: "x".repeat(length) });

describe("Keeper", () => {
  const storage = new Map<string, string>();
  beforeEach(() => {
    storage.clear();
    vi.useFakeTimers();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => storage.get(key) ?? null,
      setItem: (key: string, value: string) => storage.set(key, value),
      removeItem: (key: string) => storage.delete(key),
    });
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
    expect(storage.size).toBe(0);
  });

  it("another conversation does not push out one that waits; a deleted one is not written", async () => {
    const { keeper, written } = makeKeeper();
    keeper.keep(grown(5));
    const other = ask(newConversation(), "Another");
    keeper.keep(other);
    expect(written).toEqual([5]);
    keeper.drop(other.id);
    await vi.advanceTimersByTimeAsync(1000);
    expect(written).toEqual([5]);
  });

  it("passes on why nothing can be kept", async () => {
    const { keeper, db, errors } = makeKeeper();
    vi.mocked(db.put).mockRejectedValueOnce(new Error("quota"));
    keeper.keep(grown(1), true);
    await vi.advanceTimersByTimeAsync(1);
    expect(errors).toEqual([new Error("quota")]);
  });
});
