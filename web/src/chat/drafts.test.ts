import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { ask, newConversation } from "./conversation.ts";
import { draftOf, draftStore, dropOrphanDrafts, openDraft, takeFromDraft, writeDraft } from "./drafts.ts";

const begun = ask(newConversation(), "Hi");

/** What a page shows that was just opened: nothing, then the draft of a conversation. */
function open(conversation = newConversation()): string {
  openDraft("nothing");
  openDraft(draftOf(conversation));
  return draftStore.get();
}
const newTab = (): void => void vi.stubGlobal("sessionStorage", memoryStorage());

describe("drafts", () => {
  beforeEach(() => {
    vi.stubGlobal("localStorage", memoryStorage());
    newTab();
    open();
  });
  afterEach(() => vi.unstubAllGlobals());

  it("of a new conversation is there whenever a new one is shown, in a later tab too", () => {
    writeDraft("not sent");
    expect(open(begun)).toBe("");
    expect(open()).toBe("not sent");
    newTab();
    expect(open()).toBe("not sent");
  });

  it("of two tabs are two, and what one sends takes nothing from the other", () => {
    writeDraft("one");
    const one = sessionStorage;
    newTab();
    open();
    writeDraft("two");
    const two = sessionStorage;
    vi.stubGlobal("sessionStorage", one);
    expect(open()).toBe("one");
    takeFromDraft("one", "new", begun.id);
    expect(open()).toBe("");
    vi.stubGlobal("sessionStorage", two);
    expect(open()).toBe("two");
    newTab();
    expect(open()).toBe("two");
  });

  it("loses what was sent, and keeps what was written meanwhile for the conversation that it began", () => {
    writeDraft("  Hi\n");
    takeFromDraft("Hi", "new", begun.id);
    expect([draftStore.get(), open(begun)]).toEqual(["", ""]);
    open();
    writeDraft("Hi and the next");
    takeFromDraft("Hi", "new", begun.id);
    expect([draftStore.get(), open(begun)]).toEqual(["", "and the next"]);
    takeFromDraft("and", begun.id, begun.id);
    expect(draftStore.get()).toBe("the next");
    takeFromDraft("a starter", begun.id, begun.id);
    expect(draftStore.get()).toBe("the next");
  });

  it("of conversations that there are no more are dropped", () => {
    open(begun);
    writeDraft("kept");
    open();
    writeDraft("new");
    openDraft("deleted");
    writeDraft("gone");
    newTab();
    dropOrphanDrafts(new Set([begun.id]));
    expect([open(begun), open()]).toEqual(["kept", "new"]);
    expect(localStorage.length).toBe(2);
  });
});
