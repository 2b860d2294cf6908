/**
 * @file Recall by prompt length and depth: a prompt hides one code at every depth and asks for each of them.
 *
 * The codes that a question does not ask for are distractors ("multi-key" in RULER, arXiv 2404.06654). All questions of a
 * prompt share their prefix, so it is prefilled once and forked for every question.
 */
import { TurboQuantError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Contender } from "./compare.ts";
import { FRAME_TOKENS, fillProse, insertSentences, sharedLength } from "./haystack.ts";
import { wilson } from "./intervals.ts";
import { answers, askFor, Draws, drawFacts, MAX_FACTS, type NeedlePrompt, proseOf, sentenceOf } from "./needle.ts";

export interface NeedleGrid {
  /** Approximate prompt lengths in tokens. */
  readonly lengths: readonly number[];
  /** Positions of the codes: 0 is the beginning of the prompt, 1 the end. */
  readonly depths: readonly number[];
  /** Number of prompts for each length; each prompt gives one answer for each depth. */
  readonly prompts: number;
}

export interface NeedleCell {
  /** The length asked for, and the average length of the prompts, in tokens. */
  readonly length: number;
  readonly tokens: number;
  readonly depth: number;
  readonly prompts: number;
  /** Share of exact answers, with a 95 % interval. */
  readonly recall: number;
  readonly recallLow: number;
  readonly recallHigh: number;
  readonly recallBase: number;
}

/** One prompt with one question for each depth. */
export interface GridPrompt {
  readonly length: number;
  /** Number of tokens that all questions begin with; fewer than any question has. */
  readonly shared: number;
  readonly questions: readonly NeedlePrompt[];
}

const MIN_LENGTH = 128;
const STREAM_SEED = 7;

/** @throws TurboQuantError invalid_argument — a grid that cannot be run */
export function checkGrid({ lengths, depths, prompts }: NeedleGrid, contextLength: number): void {
  const refuse = (what: string): never => {
    throw new TurboQuantError("invalid_argument", `needle grid: ${what}`);
  };
  for (const length of lengths) {
    if (length < MIN_LENGTH || length > contextLength) {
      refuse(`length ${length}: expected ${MIN_LENGTH} to ${contextLength} tokens, the model's context`);
    }
  }
  if (depths.length > MAX_FACTS) refuse(`expected at most ${MAX_FACTS} depths, got ${depths.length}; ask in two runs`);
  if (depths.some((depth) => !(depth >= 0 && depth <= 1))) refuse("expected depths from 0 to 100 %");
  if (new Set(depths).size < depths.length) refuse("a depth is named twice");
  if (prompts < 1) refuse("expected at least one prompt a length");
}

/** Makes the prompts of every length; the same seed gives the same prompts. */
export async function gridPrompts(
  tokenizer: Tokenizer,
  text: string,
  grid: NeedleGrid,
  seed = STREAM_SEED,
): Promise<GridPrompt[]> {
  const paragraphs = proseOf(text);
  const draws = new Draws(seed);
  const result: GridPrompt[] = [];
  for (const length of grid.lengths) {
    for (let i = 0; i < grid.prompts; i++) {
      const facts = drawFacts(draws, grid.depths.length);
      const sentences = facts.map(sentenceOf);
      const prose = fillProse(tokenizer, paragraphs, draws, length - FRAME_TOKENS, sentences);
      const body = insertSentences(prose, sentences, grid.depths);
      const questions = await Promise.all(facts.map((fact) => askFor(tokenizer, body, fact)));
      result.push({ length, shared: sharedLength(questions), questions });
    }
  }
  return result;
}

/** Whether each question of a prompt is answered exactly. */
export async function recallsAll(
  contender: Contender,
  { shared, questions }: GridPrompt,
  signal?: AbortSignal,
): Promise<boolean[]> {
  const { runner, cache } = contender;
  const prefix = cache.createSequence();
  try {
    const lengths = questions.map(({ prompt }) => prompt.length);
    const ropes = new Set(lengths.map((length) => runner.decoder.ropeLength(length)));
    // Ropes that depend on the length may differ between the questions, which then have no beginning in common.
    const common = ropes.size === 1 ? questions[0]!.prompt.slice(0, shared) : [];
    await runner.prefill(prefix, common, { logits: "none", signal, knownLength: lengths[0] });
    const results: boolean[] = [];
    for (const question of questions) {
      const fork = prefix.fork();
      try {
        results.push(await answers(contender, fork, question, signal));
      } finally {
        fork.release();
      }
    }
    return results;
  } finally {
    prefix.release();
  }
}

/** hits, baseHits: [prompt][depth], in the order of `prompts` */
export function gridCells(
  grid: NeedleGrid,
  prompts: readonly GridPrompt[],
  hits: readonly (readonly boolean[])[],
  baseHits: readonly (readonly boolean[])[],
): NeedleCell[] {
  return grid.lengths.flatMap((length) => {
    const own = prompts.flatMap((prompt, i) => (prompt.length === length ? [i] : []));
    const tokens = own.reduce((sum, i) => sum + prompts[i]!.questions[0]!.prompt.length, 0) / own.length;
    return grid.depths.map((depth, d) => {
      const count = (of: readonly (readonly boolean[])[]): number => own.filter((i) => of[i]![d]).length;
      const { low, high } = wilson(count(hits), own.length);
      return {
        length,
        tokens: Math.round(tokens),
        depth,
        prompts: own.length,
        recall: count(hits) / own.length,
        recallLow: low,
        recallHigh: high,
        recallBase: count(baseHits) / own.length,
      };
    });
  });
}
