import { expect, it } from "vitest";
import { ask, newConversation } from "../chat/conversation.ts";
import { formatsThatHold, oldTurns, shortened } from "./context-ways.ts";

const reach = (kv: string, tokens: number) => ({ kv, tokens, fullBytes: 0 });

it("formats hold what is within their reach, that with the most bits first", () => {
  const info = { reaches: [reach("f16", 1000), reach("k4v4", 3500), reach("k2v2", 6000)] };
  expect(formatsThatHold(info, 3500)).toEqual({ hold: ["k4v4", "k2v2"], short: ["f16"] });
  expect(formatsThatHold(info, 7000).hold).toEqual([]);
});

it("turns before the last question can be left out, those that are out already not again", () => {
  const three = ["One?", "Two?", "Three?"].reduce((c, text) => ask(c, text), newConversation());
  const questions = three.messages.filter(({ role }) => role === "user").map(({ id }) => id);
  expect(oldTurns(three)).toEqual(questions.slice(0, 2));
  expect(oldTurns({ ...three, from: questions[1]! })).toEqual([questions[1]]);
  expect(oldTurns(ask(newConversation(), "Alone?"))).toEqual([]);
});

it("a document keeps its beginning and its end, cut at lines, with a mark between", () => {
  const lines = Array.from({ length: 200 }, (_, i) => `This is line ${i} of a long report.`);
  const text = shortened({ text: lines.join("\n") }, 0.5);
  const kept = text.split("\n");
  expect(text.length).toBeLessThanOrEqual(lines.join("\n").length * 0.5 + 10);
  expect(text.length).toBeGreaterThan(lines.join("\n").length * 0.4);
  expect([kept[0], kept.at(-1)]).toEqual([lines[0], lines.at(-1)]);
  expect(kept.filter((line) => line !== "" && line !== "[…]").every((line) => lines.includes(line))).toBe(true);
  expect(kept.filter((line) => line === "[…]")).toHaveLength(1);
  expect(shortened({ text: "short" }, 1)).toBe("short");
});
