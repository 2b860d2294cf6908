/** @file Prose of a length in tokens, with sentences in between: what a question about one of them has to be found in. */
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Draws, NeedlePrompt } from "./needle.ts";

/** Approximate number of tokens that a chat template and the question add to the prose. */
export const FRAME_TOKENS = 40;

/** A piece of prose and how many tokens it has. */
export interface ProsePiece {
  readonly text: string;
  readonly tokens: number;
}

/** Paragraphs drawn at random, of about `tokens` tokens together with `sentences`. */
export function fillProse(
  tokenizer: Tokenizer,
  paragraphs: readonly string[],
  draws: Draws,
  tokens: number,
  sentences: readonly string[],
): ProsePiece[] {
  const count = (text: string): number => tokenizer.encode(text, { addSpecialTokens: false }).length;
  let left = tokens - sentences.reduce((sum, sentence) => sum + count(sentence) + 1, 0);
  const prose: ProsePiece[] = [];
  while (left > 0) {
    const paragraph = paragraphs[draws.below(paragraphs.length)]!;
    const own = count(paragraph) + 1;
    // The last paragraph is cut between words, so that short prompts reach their length too.
    prose.push(own <= left ? { text: paragraph, tokens: own } : cutToTokens(paragraph, own, left));
    left -= own;
  }
  return prose;
}

/** The beginning of a paragraph of `tokens` tokens, about `keep` tokens long. */
function cutToTokens(paragraph: string, tokens: number, keep: number): ProsePiece {
  const words = paragraph.split(" ");
  return { text: words.slice(0, Math.ceil((words.length * keep) / tokens)).join(" "), tokens: keep };
}

/** Puts each sentence between two paragraphs, at its share of the prose's tokens. */
export function insertSentences(
  prose: readonly ProsePiece[],
  sentences: readonly string[],
  depths: readonly number[],
): string[] {
  const total = prose.reduce((sum, { tokens }) => sum + tokens, 0);
  const waiting = sentences.map((sentence, i) => ({ sentence, at: depths[i]! * total })).sort((a, b) => a.at - b.at);
  const body: string[] = [];
  let before = 0;
  for (const { text, tokens } of prose) {
    // The gap before a paragraph is the nearest to all depths up to the middle of the paragraph.
    while (waiting.length > 0 && waiting[0]!.at < before + tokens / 2) body.push(waiting.shift()!.sentence);
    body.push(text);
    before += tokens;
  }
  return [...body, ...waiting.map(({ sentence }) => sentence)];
}

/** Number of tokens that all questions begin with, less than the length of the shortest. */
export function sharedLength(questions: readonly NeedlePrompt[]): number {
  const [first] = questions as [NeedlePrompt, ...NeedlePrompt[]];
  let shared = 0;
  while (questions.every(({ prompt }) => shared < prompt.length - 1 && prompt[shared] === first.prompt[shared]))
    shared++;
  return shared;
}
