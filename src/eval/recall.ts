/** @file The parts of an evaluation in which the model answers: needles, the needle grid, greedy continuations. */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";
import type { Contender } from "./compare.ts";
import {
  continueGreedily,
  firstDivergence,
  GREEDY_PROMPT_TOKENS,
  type GreedySummary,
  greedyPrompts,
  summarizeGreedy,
} from "./greedy.ts";
import { needlePrompts, recalls } from "./needle.ts";
import { gridCells, gridPrompts, type NeedleCell, type NeedleGrid, recallsAll } from "./needle-grid.ts";

/** What these parts of an evaluation share. */
export interface Trial {
  readonly llm: LLM;
  readonly text: string;
  /** All compared formats, the base first. */
  readonly contenders: readonly Contender[];
  readonly signal: AbortSignal | undefined;
  readonly onProgress: OnProgress | undefined;
}

/** hits[contender][prompt] */
export async function runNeedles(
  { llm, text, contenders, signal, onProgress }: Trial,
  count: number,
): Promise<boolean[][]> {
  const hits = contenders.map((): boolean[] => []);
  if (count === 0) return hits;
  const prompts = await needlePrompts(llm.tokenizer, text, count);
  checkFits(
    prompts.map((p) => p.prompt.length + p.answer.length),
    llm,
    "drop --needle for this model",
  );
  for (const [n, prompt] of prompts.entries()) {
    for (const [i, contender] of contenders.entries()) hits[i]!.push(await recalls(contender, prompt, signal));
    onProgress?.({ phase: "eval", item: "needles", done: n + 1, total: count, unit: "prompts" });
  }
  return hits;
}

/** The grid's results for every contender but the base. */
export async function runNeedleGrid(
  { llm, text, contenders, signal, onProgress }: Trial,
  grid: NeedleGrid,
): Promise<NeedleCell[][]> {
  const prompts = await gridPrompts(llm.tokenizer, text, grid);
  checkFits(
    prompts.flatMap(({ questions }) => questions.map((q) => q.prompt.length + q.answer.length)),
    llm,
    "ask for shorter lengths",
  );
  const hits = contenders.map((): boolean[][] => []);
  for (const [n, prompt] of prompts.entries()) {
    for (const [i, contender] of contenders.entries()) hits[i]!.push(await recallsAll(contender, prompt, signal));
    onProgress?.({ phase: "eval", item: "needle grid", done: n + 1, total: prompts.length, unit: "prompts" });
  }
  return hits.slice(1).map((own) => gridCells(grid, prompts, own, hits[0]!));
}

/** Summaries of the greedy continuations for every contender but the base. */
export async function runGreedy(
  { llm, text, contenders, signal, onProgress }: Trial,
  { prompts: count, tokens }: { readonly prompts: number; readonly tokens: number },
): Promise<GreedySummary[]> {
  const [base, ...others] = contenders as [Contender, ...Contender[]];
  const ids = llm.tokenizer.encode(text, { addSpecialTokens: false });
  const pieces = greedyPrompts(ids, count, GREEDY_PROMPT_TOKENS);
  const total = count * contenders.length;
  const report = (done: number): void =>
    onProgress?.({ phase: "eval", item: "greedy texts", done, total, unit: "prompts" });
  const prompts = await continueGreedily(base, pieces, { tokens, endTokens: llm.eosTokens, signal, onPrompts: report });
  const divergences = others.map((): (number | null)[] => []);
  for (const [n, prompt] of prompts.entries()) {
    for (const [i, contender] of others.entries()) {
      divergences[i]!.push(await firstDivergence(contender, prompt, signal));
    }
    report(count + (n + 1) * others.length);
  }
  return divergences.map((own) => summarizeGreedy(prompts, own, tokens));
}

function checkFits(lengths: readonly number[], llm: LLM, remedy: string): void {
  const limit = llm.config.maxPositionEmbeddings;
  const longest = Math.max(...lengths);
  if (longest <= limit) return;
  throw new TurboQuantError(
    "invalid_argument",
    `eval: a needle prompt has ${longest} tokens, the model takes ${limit}; ${remedy}`,
    { tokens: longest, limit },
  );
}
