/** @file The parts of an evaluation in which the model answers: needles, the needle grid, tasks, greedy continuations. */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { Contender } from "./compare.ts";
import type { ExactCache } from "./exact-cache.ts";
import {
  continueGreedily,
  firstDivergence,
  GREEDY_BATCH,
  GREEDY_PROMPT_TOKENS,
  type GreedyPrompt,
  type GreedySummary,
  greedyPrompts,
  summarizeGreedy,
} from "./greedy.ts";
import { type NeedlePrompt, needlePrompts, recalls } from "./needle.ts";
import {
  type GridPrompt,
  gridCells,
  gridPrompts,
  type NeedleCell,
  type NeedleGrid,
  recallsAll,
} from "./needle-grid.ts";
import { type TaskCell, type TaskGrid, type TaskPrompt, taskCells, taskPrompts } from "./tasks.ts";
import type { TimeLimit } from "./time-limit.ts";

/** What these parts of an evaluation share. */
export interface Trial {
  readonly llm: LLM;
  /** All compared formats, the base first. */
  readonly contenders: readonly Contender[];
  /** Keeps what the base answers; null: nothing is kept. */
  readonly exact: ExactCache | null;
  readonly signal: AbortSignal | undefined;
}

/** One part of an evaluation: when it ends, and who hears of its progress. */
export interface Part {
  readonly limit: TimeLimit;
  readonly report: (share: number, item: string) => void;
}

/** What is asked; absent parts are not. */
interface Asked {
  readonly needle?: number;
  readonly needleGrid?: NeedleGrid;
  readonly tasks?: TaskGrid;
  readonly greedy?: { readonly prompts: number; readonly tokens: number };
}

/** The prompts of what is asked, null for the other parts. */
export interface Prompts {
  readonly needles: readonly NeedlePrompt[] | null;
  readonly grid: readonly GridPrompt[] | null;
  readonly tasks: readonly TaskPrompt[] | null;
  /** Pieces of the text. */
  readonly greedy: readonly Int32Array[] | null;
}

/**
 * Makes all prompts, so that what cannot be asked is known before anything is computed.
 * @throws TurboQuantError invalid_argument — the text has no prose for them or too few tokens, or a prompt is longer than the model's context
 */
export async function promptsOf(llm: LLM, text: string, { needle = 0, ...asked }: Asked): Promise<Prompts> {
  const { tokenizer } = llm;
  const needles = needle > 0 ? await needlePrompts(tokenizer, text, needle) : null;
  const grid = asked.needleGrid ? await gridPrompts(tokenizer, text, asked.needleGrid) : null;
  const tasks = asked.tasks ? await taskPrompts(tokenizer, text, asked.tasks) : null;
  checkFits(needles ?? [], llm, "drop --needle for this model");
  for (const prompts of [grid, tasks]) {
    checkFits(
      (prompts ?? []).flatMap(({ questions }) => questions),
      llm,
      "ask for shorter lengths",
    );
  }
  const ids = (): number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const greedy = asked.greedy ? greedyPrompts(ids(), asked.greedy.prompts, GREEDY_PROMPT_TOKENS) : null;
  return { needles, grid, tasks, greedy };
}

/**
 * Asks every contender every prompt, one prompt after the other, until the limit: those that all have answered count.
 *
 * returns: [contender][prompt]
 */
async function askAll<P, A>(
  { contenders, exact }: Trial,
  { limit, report }: Part,
  prompts: readonly P[],
  item: string,
  ask: (contender: Contender, prompt: P) => Promise<A>,
): Promise<A[][]> {
  const answers = contenders.map((): A[] => []);
  for (const [n, prompt] of prompts.entries()) {
    if (n > 0 ? limit.isOver : limit.isEnded) break;
    const own: A[] = [];
    for (const [i, contender] of contenders.entries()) {
      const answer = (): Promise<A> => ask(contender, prompt);
      own.push(i === 0 && exact ? await exact.result(item, prompt, answer) : await answer());
      report((n + (i + 1) / contenders.length) / prompts.length, item);
    }
    for (const [i, answer] of own.entries()) answers[i]!.push(answer);
  }
  return answers;
}

/** hits[contender][prompt] */
export function runNeedles(trial: Trial, part: Part, prompts: readonly NeedlePrompt[]): Promise<boolean[][]> {
  const { signal } = trial;
  return askAll(trial, part, prompts, "needles", (contender, prompt) => recalls(contender, prompt, signal));
}

/** The grid's results for every contender but the base, of the lengths that were asked for in the time. */
export async function runNeedleGrid(
  trial: Trial,
  part: Part,
  grid: NeedleGrid,
  prompts: readonly GridPrompt[],
): Promise<NeedleCell[][]> {
  const { signal } = trial;
  const hits = await askAll(trial, part, prompts, "needle grid", (contender, prompt) =>
    recallsAll(contender, prompt, signal),
  );
  const asked = prompts.slice(0, hits[0]!.length);
  const lengths = grid.lengths.filter((length) => asked.some((prompt) => prompt.length === length));
  return hits.slice(1).map((own) => gridCells({ ...grid, lengths }, asked, own, hits[0]!));
}

/** The tasks' results for every contender but the base. */
export async function runTasks(trial: Trial, part: Part, prompts: readonly TaskPrompt[]): Promise<TaskCell[][]> {
  const { signal } = trial;
  const hits = await askAll(trial, part, prompts, "tasks", (contender, prompt) =>
    recallsAll(contender, prompt, signal),
  );
  return hits.slice(1).map((own) => taskCells(prompts.slice(0, own.length), own, hits[0]!));
}

/** Summaries of the greedy continuations for every contender but the base; null where none was finished in the time. tokens: the most of one */
export async function runGreedy(
  { llm, contenders, exact, signal }: Trial,
  { limit, report }: Part,
  tokens: number,
  pieces: readonly Int32Array[],
): Promise<(GreedySummary | null)[]> {
  const [base, ...others] = contenders as [Contender, ...Contender[]];
  const prompts: GreedyPrompt[] = [];
  const divergences = others.map((): (number | null)[] => []);
  for (let at = 0; at < pieces.length && !(at > 0 ? limit.isOver : limit.isEnded); at += GREEDY_BATCH) {
    const batch = pieces.slice(at, at + GREEDY_BATCH);
    const write = () => continueGreedily(base, batch, { tokens, endTokens: llm.eosTokens, signal });
    const input = { pieces: batch.map((piece) => [...piece]), tokens };
    const continuations = exact
      ? await exact.result("greedy", input, async () => (await write()).map(({ continuation }) => continuation))
      : (await write()).map(({ continuation }) => continuation);
    for (const [n, continuation] of continuations.entries()) {
      if (prompts.length > 0 && limit.isOver) break;
      const prompt = { prompt: batch[n]!, continuation };
      const own: (number | null)[] = [];
      for (const contender of others) own.push(await firstDivergence(contender, prompt, signal));
      prompts.push(prompt);
      for (const [i, first] of own.entries()) divergences[i]!.push(first);
      report(prompts.length / pieces.length, "greedy texts");
    }
  }
  return divergences.map((own) => (own.length > 0 ? summarizeGreedy(prompts, own, tokens) : null));
}

function checkFits(prompts: readonly NeedlePrompt[], llm: LLM, remedy: string): void {
  const limit = llm.config.maxPositionEmbeddings;
  const longest = prompts.reduce((most, { prompt, answer }) => Math.max(most, prompt.length + answer.length), 0);
  if (longest <= limit) return;
  throw new TurboQuantError(
    "invalid_argument",
    `eval: a needle prompt has ${longest} tokens, the model takes ${limit}; ${remedy}`,
    { tokens: longest, limit },
  );
}
