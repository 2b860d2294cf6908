/** @file What formats are compared by: questions about a story, or a text that is continued or answered. */
import { DEFAULT_PROMPT } from "../../../src/cli/default-prompt.ts";
import type { RecallQuestion } from "../engine/protocol.ts";

export const TASKS = ["recall", "continue", "own"] as const;
export type Task = (typeof TASKS)[number];

export const TASK_NAMES: Readonly<Record<Task, string>> = {
  recall: "Remember three codes",
  continue: "Continue a story",
  own: "A text of your own",
};

export const TASK_NOTES: Readonly<Record<Task, string>> = {
  recall: "Some 900 tokens, in which three codes are said once; each format is asked for all three.",
  continue: "Each format continues it with the likeliest words.",
  own: "Each format goes on with the likeliest words.",
};

const LINES = DEFAULT_PROMPT.split("\n");
const CODE = /^The secret code of (.+) is (\d+)\./;

/** The story with its codes, without the question behind it. */
export const STORY = LINES.slice(0, -1).join("\n");

export const QUESTIONS: readonly RecallQuestion[] = LINES.flatMap((line) => {
  const match = CODE.exec(line);
  return match ? [{ ask: `What is the secret code of ${match[1]}?`, expected: match[2]! }] : [];
});

/** The beginning of the story, without codes, for the model to continue. */
export const BEGINNING = LINES.filter((line) => !CODE.test(line))
  .slice(0, 5)
  .join("\n");
