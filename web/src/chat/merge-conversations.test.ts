import { describe, expect, it } from "vitest";
import {
  ask,
  type Conversation,
  changeAnswer,
  edit,
  newConversation,
  regenerate,
  showVersion,
  versionAt,
} from "./conversation.ts";
import { mergeConversations } from "./merge-conversations.ts";
import { textsOf, twoTurns } from "./two-turns.ts";

describe("a conversation", () => {
  it("of two tabs is merged: what both have, then what either has said alone", () => {
    const base = twoTurns();
    const theirs = ask(base, "Spain?", { now: 9 });
    const mine = ask(base, "Italy?", { now: 8 });
    const merged = mergeConversations(theirs, mine);
    expect(textsOf(merged)).toEqual(["One?", "1", "Two?", "2", "Spain?", "", "Italy?", ""]);
    expect(merged.updatedAt).toBe(9);
    // What was merged once is not doubled.
    expect(textsOf(mergeConversations(theirs, merged))).toEqual(textsOf(merged));
  });

  it("of two tabs stays in the order that it was merged in, and what grew meanwhile is the newer text", () => {
    const base = twoTurns();
    const mine = ask(base, "Italy?", { now: 8 });
    const merged = mergeConversations(ask(base, "Spain?", { now: 9 }), mine);
    const grown = changeAnswer(mine, mine.messages.at(-1)!.id, { text: "Rome", state: "done" });
    expect(textsOf(mergeConversations(merged, grown))).toEqual([
      "One?",
      "1",
      "Two?",
      "2",
      "Spain?",
      "",
      "Italy?",
      "Rome",
    ]);
  });

  it("of two tabs keeps versions apart: an answer that one of them has put aside does not come back", () => {
    const base = twoTurns();
    const again = regenerate(base, base.messages.at(-1)!.id);
    expect(textsOf(again)).toEqual(["One?", "1", "Two?", ""]);
    for (const merged of [mergeConversations(again, base), mergeConversations(base, again)]) {
      expect(textsOf(merged)).toEqual(["One?", "1", "Two?", ""]);
      expect(textsOf(showVersion(merged, 3, 0))).toEqual(["One?", "1", "Two?", "2"]);
    }
  });

  it("is merged with the finished text of an answer that this tab saw while it was written", () => {
    const asked = ask(newConversation(), "Hi");
    const answer = asked.messages[1]!.id;
    const theirs = changeAnswer(asked, answer, { text: "Hello", state: "done" });
    expect(mergeConversations(theirs, asked).messages[1]).toMatchObject({ text: "Hello", state: "done" });
    expect(mergeConversations(asked, theirs).messages[1]).toMatchObject({ text: "Hello", state: "done" });
  });

  /** One question with two answers, of which the second is shown. */
  function twoAnswers() {
    const asked = ask(newConversation("", 1), "Q", { now: 2 });
    const first = changeAnswer(asked, asked.messages[1]!.id, { text: "a1", state: "done" });
    const again = regenerate(first, first.messages[1]!.id, 3);
    return changeAnswer(again, again.messages[1]!.id, { text: "a2", state: "done" });
  }

  it("of two tabs that show different versions shows that of the one that was changed last, and keeps the other", () => {
    const second = twoAnswers();
    const first = showVersion(second, 1, 0);
    expect(textsOf(mergeConversations(second, first))).toEqual(["Q", "a1"]);
    for (const merged of [mergeConversations(second, first), mergeConversations(first, second)]) {
      expect(versionAt(merged, 1)?.count).toBe(2);
      expect(textsOf(showVersion(merged, 1, 0))).toEqual(["Q", "a1"]);
      expect(textsOf(showVersion(merged, 1, 1))).toEqual(["Q", "a2"]);
    }
    const goneOn = ask(second, "More", { now: 9 });
    for (const merged of [mergeConversations(goneOn, first), mergeConversations(first, goneOn)]) {
      expect(textsOf(merged)).toEqual(["Q", "a2", "More", ""]);
      expect(textsOf(showVersion(merged, 1, 0))).toEqual(["Q", "a1"]);
    }
  });

  it("of two tabs that go on under different versions keeps both, also what is still written of the one that is not shown", () => {
    const second = twoAnswers();
    const onSecond = ask(second, "under a2", { now: 9 });
    const onFirst = ask(showVersion(second, 1, 0), "under a1", { now: 8 });
    for (const merged of [mergeConversations(onSecond, onFirst), mergeConversations(onFirst, onSecond)]) {
      expect(textsOf(merged)).toEqual(["Q", "a2", "under a2", ""]);
      const grown = changeAnswer(merged, onFirst.messages.at(-1)!.id, { text: "late", state: "done" });
      expect(textsOf(showVersion(grown, 1, 0))).toEqual(["Q", "a1", "under a1", "late"]);
    }
  });

  const idsOf = ({ messages, forks = {} }: Conversation): Set<string> =>
    new Set([messages, ...Object.values(forks).flatMap(({ tails }) => tails)].flat().map(({ id }) => id));

  /** Reachable by showing versions, from the first place on. */
  function reachable(conversation: Conversation, from = 0): Set<string> {
    const ids = new Set(conversation.messages.map(({ id }) => id));
    for (let index = from; index < conversation.messages.length; index++) {
      const { count, at } = versionAt(conversation, index) ?? { count: 1, at: 0 };
      for (let version = 0; version < count; version++) {
        if (version === at) continue;
        for (const id of reachable(showVersion(conversation, index, version), index + 1)) ids.add(id);
      }
    }
    return ids;
  }

  it("of two tabs has every message of either, whatever they did and however often they are merged", () => {
    let seed = 1;
    const random = (count: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 16) % count;
    };
    const step = (conversation: Conversation, now: number): Conversation => {
      const { messages } = conversation;
      const index = random(messages.length);
      const { id } = messages[index]!;
      const ways = [
        () => ask(conversation, `q${now}`, { now }),
        () => edit(conversation, id, `e${now}`, now),
        () => regenerate(conversation, id, now),
        () => showVersion(conversation, index, random(versionAt(conversation, index)?.count ?? 1)),
      ];
      return ways[random(ways.length)]!();
    };
    for (let run = 0; run < 60; run++) {
      const begun = twoTurns();
      const tabs = [begun, begun];
      for (let now = 10; now < 26; now++) {
        const which = random(2);
        tabs[which] = step(tabs[which]!, now);
        if (random(4) > 0) continue;
        const [theirs, mine] = [tabs[1 - which]!, tabs[which]!];
        const merged = mergeConversations(theirs, mine);
        const both = new Set([...idsOf(theirs), ...idsOf(mine)]);
        expect(idsOf(merged)).toEqual(both);
        expect(reachable(merged)).toEqual(both);
        for (const { tails, at } of Object.values(merged.forks ?? {})) {
          expect(tails.every((tail, version) => tail.length > 0 || version === at)).toBe(true);
        }
        expect(mergeConversations(merged, merged)).toEqual(merged);
        tabs[which] = merged;
      }
    }
  });
});
