/** @file What is thought and what is said, in pieces of every size. */
import { expect, it } from "vitest";
import { plainAnswer } from "./answer-parser.ts";
import { endsInside, marksOf, ReasoningParser } from "./reasoning.ts";

const MARKS = { open: "<think>", close: "</think>" };

function parsed(text: string, isInside: boolean, size: number) {
  const parser = new ReasoningParser(MARKS, isInside, plainAnswer);
  const parts = [];
  for (let at = 0; at < text.length; at += size) parts.push(...parser.push(text.slice(at, at + size)));
  const result = { reasoning: "", content: "" };
  for (const part of [...parts, ...parser.end()]) {
    if (part.kind === "reasoning" || part.kind === "content") result[part.kind] += part.text;
  }
  return result;
}

it.each<[what: string, text: string, isInside: boolean, reasoning: string, content: string]>([
  ["both", "<think>\nOne, two.\n\nThree?\n</think>\n\nThree.", false, "One, two.\n\nThree?", "Three."],
  ["an empty thought", "<think>\n\n</think>\n\nThree.", false, "", "Three."],
  ["begun by the prompt", "\nOne.</think>Three. ", true, "One.", "Three. "],
  ["no thought", " Three <b.", false, "", " Three <b."],
  ["cut off", "<think>One, tw", false, "One, tw", ""],
  ["cut off in the mark", "<think>One</thi", false, "One</thi", ""],
  ["a mark later on", "Three. <think>No.</think>", false, "", "Three. <think>No.</think>"],
  ["nothing", "", false, "", ""],
  ["half of a mark", "<thi", false, "", "<thi"],
])("%s", (_what, text, isInside, reasoning, content) => {
  for (const size of [1, 2, 5, 100]) {
    expect(parsed(text, isInside, size), `pieces of ${size}`).toEqual({ reasoning, content });
  }
});

it("takes each character of a long run of blanks once", () => {
  const blanks = " ".repeat(100_000);
  const started = performance.now();
  expect(parsed(`${blanks}<think>${blanks}a${blanks}b${blanks}</think>${blanks}c`, false, 1)).toEqual({
    reasoning: `a${blanks}b`,
    content: "c",
  });
  expect(parsed(`${blanks}c`, false, 1)).toEqual({ reasoning: "", content: `${blanks}c` });
  // It takes some tenths of a second; where a run is looked at anew with each of its characters, minutes.
  expect(performance.now() - started).toBeLessThan(10_000);
});

it("templates and prompts say whether a model thinks", () => {
  expect(marksOf("… {% if enable_thinking %}<think></think>")).toEqual(MARKS);
  expect(marksOf("{{ messages }}")).toBeNull();
  expect(endsInside("<|im_start|>assistant\n<think>\n", MARKS)).toBe(true);
  expect(endsInside("<think>\n\n</think>\n\n", MARKS)).toBe(false);
});
