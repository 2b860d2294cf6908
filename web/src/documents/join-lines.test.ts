import { expect, it } from "vitest";
import { joinLines } from "./join-lines.ts";

it.each<[string, string, string]>([
  [
    "full lines are one paragraph",
    "The quick brown fox jumps\nover the lazy dog and runs\naway.",
    "The quick brown fox jumps over the lazy dog and runs away.",
  ],
  [
    "short lines stay",
    "Contents\nOne\nTwo\nA line that is as long as the paper",
    "Contents\nOne\nTwo\nA line that is as long as the paper",
  ],
  ["words that were cut are whole", "This is an exam-\nple of a long word", "This is an example of a long word"],
  [
    "empty lines stay",
    "A first paragraph here.\n\nA second paragraph here.",
    "A first paragraph here.\n\nA second paragraph here.",
  ],
  ["nothing", "", ""],
])("%s", (_, text, joined) => {
  expect(joinLines(text)).toBe(joined);
});
