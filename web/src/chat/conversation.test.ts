import { describe, expect, it } from "vitest";
import {
  ask,
  changeAnswer,
  edit,
  markInterrupted,
  newConversation,
  promptOf,
  regenerate,
  showVersion,
  titleFrom,
  UNTITLED,
  versionAt,
} from "./conversation.ts";
import { textsOf, twoTurns } from "./two-turns.ts";

describe("a conversation", () => {
  it("asks: the question, an answer that is being written, a title", () => {
    const conversation = ask(newConversation(), "What is the capital of France?", { now: 5 });
    expect(conversation.messages.map(({ role, state }) => [role, state])).toEqual([
      ["user", undefined],
      ["assistant", "streaming"],
    ]);
    expect(conversation).toMatchObject({ title: "What is the capital of France?", updatedAt: 5 });
    expect(ask(newConversation(), "a long story", { now: 5, title: "A name" }).title).toBe("A name");
  });

  it("keeps what an edit or another answer takes the place of as a version", () => {
    const before = twoTurns();
    const write = (of: typeof before, text: string) =>
      changeAnswer(of, of.messages.at(-1)!.id, { text, state: "done" as const });
    const again = write(regenerate(before, before.messages[1]!.id, 9), "uno");
    expect(versionAt(again, 1)).toEqual({ at: 1, count: 2 });
    expect([0, 2].map((index) => versionAt(again, index))).toEqual([null, null]);
    expect(versionAt(before, 1)).toBeNull();
    expect(textsOf(showVersion(again, 1, 0))).toEqual(["One?", "1", "Two?", "2"]);

    // A version of a version: what is said in one of them stays there.
    const longer = write(ask(again, "Due?", { now: 10 }), "due");
    const edited = write(edit(longer, longer.messages[0]!.id, "Un?", 11), "un");
    expect(textsOf(edited)).toEqual(["Un?", "un"]);
    expect(versionAt(edited, 0)).toEqual({ at: 1, count: 2 });
    const back = showVersion(edited, 0, 0);
    expect(textsOf(back)).toEqual(["One?", "uno", "Due?", "due"]);
    expect(versionAt(back, 1)).toEqual({ at: 1, count: 2 });
    const first = showVersion(back, 1, 0);
    expect(textsOf(first)).toEqual(["One?", "1", "Two?", "2"]);
    expect(textsOf(showVersion(showVersion(first, 1, 1), 0, 1))).toEqual(["Un?", "un"]);
    expect(showVersion(first, 1, 7)).toBe(first);
    expect(showVersion(first, 1, 0)).toBe(first);
  });

  it("edits: what followed the message is gone, what came before stays", () => {
    const before = twoTurns();
    const edited = edit(before, before.messages[2]!.id, "Three?", 9);
    expect(textsOf(edited)).toEqual(["One?", "1", "Three?", ""]);
    expect(edited.title).toBe("One?");
    expect(edit(before, before.messages[0]!.id, "Zero?", 9)).toMatchObject({ title: "Zero?" });
    expect(edit(before, before.messages[1]!.id, "no answer can be edited")).toBe(before);
    expect(edit(before, "unknown", "x")).toBe(before);
  });

  it("answers again: the answer and what followed it are replaced by a new one", () => {
    const before = twoTurns();
    const again = regenerate(before, before.messages[1]!.id, 9);
    expect(textsOf(again)).toEqual(["One?", ""]);
    expect(again.messages[1]!.id).not.toBe(before.messages[1]!.id);
    expect(regenerate(before, before.messages[0]!.id)).toBe(before);
  });

  it("asks the model for everything but the answer to come, and for no answer that was never given", () => {
    const before = twoTurns();
    for (const text of ["", "<think>\nHm", "<think>\nHm\n</think>\n\n"]) {
      const emptied = changeAnswer(before, before.messages[1]!.id, { text, state: "interrupted" });
      expect(promptOf(ask(emptied, "Three?"))).toEqual([
        { role: "system", content: "Be brief." },
        { role: "user", content: "One?" },
        { role: "user", content: "Two?" },
        { role: "assistant", content: "2" },
        { role: "user", content: "Three?" },
      ]);
    }
    expect(promptOf({ ...before, system: " " })[0]).toEqual({ role: "user", content: "One?" });
  });

  it("after a reload keeps what was said and says that it was interrupted", () => {
    const asked = ask(newConversation(), "Go on");
    const half = changeAnswer(asked, asked.messages[1]!.id, { text: "Once upon" });
    expect(markInterrupted(half, "reloaded").messages[1]).toMatchObject({
      text: "Once upon",
      state: "interrupted",
      problem: "reloaded",
    });
    expect(markInterrupted(twoTurns(), "reloaded").messages.map(({ state }) => state)).toEqual([
      undefined,
      "done",
      undefined,
      "done",
    ]);
  });
});

describe("titleFrom", () => {
  it("is the first words, cut between words", () => {
    expect(titleFrom("  Two\nlines ")).toBe("Two lines");
    expect(titleFrom(" ")).toBe(UNTITLED);
    const long = titleFrom("The winter that my grandfather came to live with us was the coldest");
    expect(long).toBe("The winter that my grandfather came to live…");
    expect(titleFrom("x".repeat(100)).length).toBeLessThanOrEqual(49);
  });

  it("with documents: they come under their names before the question, give the title, and stay when it is edited", () => {
    const documents = [
      { name: "a.md", text: "First." },
      { name: "b.pdf", text: "Second.", pages: 2 },
    ];
    const asked = ask(newConversation(), "What?", { documents });
    expect(promptOf(asked)).toEqual([{ role: "user", content: "a.md\n\nFirst.\n\nb.pdf\n\nSecond.\n\nWhat?" }]);
    expect(ask(newConversation(), "", { documents }).title).toBe("a.md");
    expect(edit(asked, asked.messages[0]!.id, "Why?").messages[0]).toMatchObject({ text: "Why?", documents });
  });

  it("whose oldest turns are left out shows the model the rest, now and later", () => {
    const two = twoTurns();
    const from = two.messages[2]!.id;
    expect(promptOf(ask({ ...two, from }, "Three?")).map(({ content }) => content)).toEqual([
      ...["Be brief.", "Two?", "2", "Three?"],
    ]);
    // From the next message on.
    const next = ask({ ...two, from: "" }, "Three?");
    const answered = changeAnswer(next, next.messages.at(-1)!.id, { text: "3", state: "done" });
    expect(promptOf(ask(answered, "Four?")).map(({ content }) => content)).toEqual([
      ...["Be brief.", "Three?", "3", "Four?"],
    ]);
  });
});
