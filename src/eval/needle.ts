/**
 * @file Exact recall: a five-digit code is said once in pages of prose and asked for at the end.
 *
 * A prompt counts as answered when a space and the five digits are each the most likely token, teacher forced. That takes one
 * prefill a prompt, and a cache that blurs one digit fails.
 */
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Contender } from "./compare.ts";

export interface NeedlePrompt {
  readonly prompt: readonly number[];
  /** The tokens of " 12345". */
  readonly answer: readonly number[];
}

/** Characters of prose in a prompt. */
const PROSE_CHARS = 5200;
/** About how many tokens a prompt has in the vocabulary of the reference checkpoints. */
export const NEEDLE_PROMPT_TOKENS = 1400;
/** Codes hidden in a prompt. One is asked for; the others are distractors. */
const NUM_CODES = 3;
const SUBJECTS = ["the library", "the harbour", "the vault", "Alice", "Hugo", "Ruth", "the castle", "Victor"];
/** Length in characters of paragraphs taken as prose: longer than a heading, shorter than a fifth of the prompt. */
const [MIN_PARAGRAPH, MAX_PARAGRAPH] = [80, 900];
/** Stream of the counter-based RNG. */
const STREAM_NEEDLE = 0x4eed;

/** Draws integers below a bound from one random stream. */
export class Draws {
  readonly #rng: CounterRng;
  #drawn = 0;

  constructor(seed: number) {
    this.#rng = new CounterRng(seed, STREAM_NEEDLE);
  }

  below(bound: number): number {
    return Math.floor(this.#rng.uniform(this.#drawn++) * bound);
  }

  /** Removes a random element of `from` and returns it. */
  take<T>(from: T[]): T {
    return from.splice(this.below(from.length), 1)[0]!;
  }
}

/** The lines of a text that look like paragraphs. A text without any is cut into pieces between words. */
export function paragraphsOf(text: string): string[] {
  const lines = text.split("\n").filter((line) => line.length > MIN_PARAGRAPH && line.length < MAX_PARAGRAPH);
  if (lines.length >= 8) return lines;
  const pieces: string[] = [];
  let piece = "";
  for (const word of text.split(/\s+/)) {
    piece += (piece && " ") + word;
    if (piece.length > 400) {
      pieces.push(piece);
      piece = "";
    }
  }
  return pieces;
}

/** @throws TurboQuantError invalid_argument — the text contains no paragraph */
export function proseOf(text: string): string[] {
  const paragraphs = paragraphsOf(text);
  if (paragraphs.length > 0) return paragraphs;
  throw new TurboQuantError(
    "invalid_argument",
    `needle: the text has no paragraph of ${MIN_PARAGRAPH} to ${MAX_PARAGRAPH} characters; pass a longer --text or ask for no needles`,
  );
}

/**
 * Makes `count` prompts from paragraphs of `text`; the same seed gives the same prompts. The question goes through the model's
 * chat template if it has one, and the answer is begun for it.
 * @throws TurboQuantError invalid_argument — the text contains no paragraph
 */
export async function needlePrompts(
  tokenizer: Tokenizer,
  text: string,
  count: number,
  seed = 5,
): Promise<NeedlePrompt[]> {
  const paragraphs = proseOf(text);
  const draws = new Draws(seed);
  const prompts: NeedlePrompt[] = [];
  for (let i = 0; i < count; i++) {
    const body: string[] = [];
    for (let chars = 0; chars < PROSE_CHARS; ) {
      const paragraph = paragraphs[draws.below(paragraphs.length)]!;
      body.push(paragraph);
      chars += paragraph.length;
    }
    const facts = drawFacts(draws, NUM_CODES);
    for (const fact of facts) body.splice(draws.below(body.length + 1), 0, sentenceOf(fact));
    prompts.push(await askFor(tokenizer, body, facts[0]!));
  }
  return prompts;
}

export interface Fact {
  readonly subject: string;
  /** Five digits. */
  readonly code: string;
}

/** The most facts in one prompt. */
export const MAX_FACTS = SUBJECTS.length;

/** Draws codes for `count` different subjects. */
export function drawFacts(draws: Draws, count: number): Fact[] {
  const rest = [...SUBJECTS];
  return Array.from({ length: count }, () => ({
    subject: draws.take(rest),
    code: Array.from({ length: 5 }, () => draws.below(10)).join(""),
  }));
}

export const sentenceOf = ({ subject, code }: Fact): string => `The secret code of ${subject} is ${code}. Remember it.`;

/** The prompt that asks for one of the facts in a body of paragraphs. */
export async function askFor(
  tokenizer: Tokenizer,
  body: readonly string[],
  { subject, code }: Fact,
): Promise<NeedlePrompt> {
  const question = `${body.join("\n")}\nWhat is the secret code of ${subject}?`;
  const rendered = tokenizer.chatTemplate
    ? await tokenizer.applyChatTemplate([{ role: "user", content: question }], { addGenerationPrompt: true })
    : `${question}\n`;
  return {
    // A rendered template has its special tokens written out; a plain prompt gets those that the tokenizer adds to texts.
    prompt: tokenizer.encode(`${rendered}The secret code of ${subject} is`, {
      addSpecialTokens: !tokenizer.chatTemplate,
    }),
    answer: tokenizer.encode(` ${code}`, { addSpecialTokens: false }),
  };
}

/** Whether every token of the answer is the most likely one at its place. */
export async function recalls(contender: Contender, needle: NeedlePrompt, signal?: AbortSignal): Promise<boolean> {
  const sequence = contender.cache.createSequence();
  try {
    return await answers(contender, sequence, needle, signal);
  } finally {
    sequence.release();
  }
}

/** Feeds the part of the prompt that `sequence` does not hold yet (at least its last token) and the answer. */
export async function answers(
  { runner }: Contender,
  sequence: Sequence,
  { prompt, answer }: NeedlePrompt,
  signal?: AbortSignal,
): Promise<boolean> {
  const knownLength = prompt.length;
  await runner.prefill(sequence, prompt.slice(sequence.length, -1), { logits: "none", signal, knownLength });
  const tokens = [prompt.at(-1)!, ...answer.slice(0, -1)];
  const logits = await runner.step([{ sequence, tokens, logits: "all", knownLength }]);
  const vocab = runner.decoder.config.vocabSize;
  return answer.every((token, row) => {
    const own = logits.subarray(row * vocab, (row + 1) * vocab);
    return own.every((logit, id) => id === token || logit < own[token]!);
  });
}
