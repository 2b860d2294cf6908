import { describe, expect, it } from "vitest";
import { ask, changeAnswer, newConversation, regenerate } from "./conversation.ts";
import { readConversations, writeConversations } from "./conversation-file.ts";

const asked = ask(newConversation("Be brief.", 1), "One?", { now: 2 });
const answered = changeAnswer(asked, asked.messages[1]!.id, { text: "1", state: "done" });
const versions = changeAnswer(regenerate(answered, answered.messages[1]!.id, 3), "", {});

describe("a file of conversations", () => {
  it("holds all that they are, versions too", () => {
    expect(readConversations(writeConversations([answered]), "a.json")).toEqual([answered]);
    const [read] = readConversations(writeConversations([versions]), "a.json");
    expect(read!.forks).toEqual(versions.forks);
    expect(read!.messages[1], "what was being written is not").toMatchObject({ state: "interrupted" });
  });

  it("is refused by name where it is none, or damaged", () => {
    expect(() => readConversations("hello", "notes.json")).toThrow(
      /^notes\.json: expected a file of conversations, got text/,
    );
    expect(() => readConversations("[]", "list.json")).toThrow(/^list\.json: expected a file of conversations, as/);
    const damaged = [
      { ...answered, messages: [{ id: "a", role: "robot", text: "x" }] },
      { ...answered, title: 7 },
      { ...answered, forks: { a: { at: 0, tails: [[{ id: 1 }]] } } },
      { ...answered, forks: { a: { at: 2, tails: [[], []] } } },
      { ...answered, forks: { a: { at: "length", tails: [[], []] } } },
      { ...answered, forks: { a: { at: -1, tails: [[], []] } } },
      { ...answered, from: 7 },
      { ...answered, messages: [{ ...asked.messages[0], documents: "a.md" }] },
      { ...answered, messages: [{ ...asked.messages[0], documents: [{ name: "a.md" }] }] },
    ];
    for (const each of damaged) {
      const text = JSON.stringify({ format: "turboquant conversations", conversations: [answered, each] });
      expect(() => readConversations(text, "a.json")).toThrow("a.json: conversation 2 is damaged; nothing was read");
    }
  });
});
