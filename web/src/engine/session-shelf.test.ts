import type { LLM, Session } from "turboquant";
import { describe, expect, it } from "vitest";
import { SessionShelf } from "./session-shelf.ts";

/** A model whose sessions say when they are released. */
function makeShelf() {
  const released: number[] = [];
  let count = 0;
  const createSession = () => {
    const id = count++;
    return { id, release: () => void released.push(id) };
  };
  return { shelf: new SessionShelf({ createSession } as unknown as LLM), released, createSession };
}

const idOf = (session: Session): number => (session as unknown as { id: number }).id;

describe("SessionShelf", () => {
  it("gives a conversation its own session again", () => {
    const { shelf } = makeShelf();
    const first = shelf.take("a");
    shelf.take("b");
    expect(shelf.take("a")).toBe(first);
    expect(shelf.size).toBe(2);
  });

  it("keeps eight; the one that was not used for longest goes", () => {
    const { shelf, released } = makeShelf();
    for (const name of "abcdefgh") shelf.take(name);
    shelf.take("a");
    shelf.take("i");
    expect(released).toEqual([1]);
    expect(shelf.size).toBe(8);
    expect(idOf(shelf.take("a"))).toBe(0);
  });

  it("releases what is replaced, dropped or cleared, once", () => {
    const { shelf, released, createSession } = makeShelf();
    shelf.take("a");
    shelf.put("a", createSession() as unknown as Session);
    expect(released).toEqual([0]);
    shelf.drop("a");
    shelf.drop("a");
    shelf.take("b");
    shelf.clear();
    expect(released).toEqual([0, 1, 2]);
    expect(shelf.size).toBe(0);
  });

  it("says what to do about a conversation that has no cache", () => {
    expect(() => makeShelf().shelf.require("a")).toThrow(/send a message first/);
  });
});
