/** @file Suggestions for a first message, chosen for what the embedded models can do. */
// default-prompt.ts contains nothing but this text, so the import brings no code of the command line into the page.
import { DEFAULT_PROMPT } from "../../../src/cli/default-prompt.ts";

export interface Starter {
  readonly title: string;
  readonly note: string;
  readonly text: string;
}

export const STARTERS: readonly Starter[] = [
  {
    title: "Find a code in a long story",
    note: "Nine hundred tokens with three secret codes: enough to see the cache shrink",
    text: DEFAULT_PROMPT,
  },
  { title: "What is the capital of France?", note: "A short answer", text: "What is the capital of France?" },
  {
    title: "It was a dark night,",
    note: "A novel, in the manner of 1890, until you stop it",
    text: "It was a dark night, and the road over the hill was shut. My grandfather",
  },
];
