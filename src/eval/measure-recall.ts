/** @file Exact recall of one format beside the exact cache, with as few prompts as tell whether the model can recall at all. */
import type { LLM } from "../engine/llm.ts";
import { makeContender } from "./compare.ts";
import { type EntryStore, ExactCache } from "./exact-cache.ts";
import { decodersFor } from "./format-decoders.ts";
import { MAX_FACTS } from "./needle.ts";
import { gridPrompts, recallsAll } from "./needle-grid.ts";
import { NO_LIMIT, type TimeLimit } from "./time-limit.ts";

export interface RecallOptions {
  /** Where the prose between the facts comes from. */
  readonly text: string;
  readonly kv: string;
  /** Number of questions; a prompt hides up to 8 facts and is asked for each. */
  readonly questions: number;
  /** Tokens of a prompt. */
  readonly tokens: number;
  readonly exact?: EntryStore;
  readonly limit?: TimeLimit;
  readonly signal?: AbortSignal;
  readonly onPrompt?: (done: number, total: number) => void;
}

export interface MeasuredRecall {
  /** Share of questions that the format, and the exact cache, answers exactly. */
  readonly own: number;
  readonly base: number;
  /** Number of questions asked. */
  readonly prompts: number;
}

/** A model that answers less than half after so many prompts is not asked any more: its recall says nothing about formats. */
const ENOUGH_PROMPTS = 2;
const BASE = "f16";

/** null: the limit came before the first prompt was answered */
export async function measureRecall(llm: LLM, options: RecallOptions): Promise<MeasuredRecall | null> {
  const { text, kv, questions, tokens, limit = NO_LIMIT, signal, onPrompt } = options;
  const facts = Math.min(MAX_FACTS, questions);
  const depths = Array.from({ length: facts }, (_, i) => (facts === 1 ? 0.5 : i / (facts - 1)));
  const grid = { lengths: [tokens], depths, prompts: Math.ceil(questions / facts) };
  const prompts = await gridPrompts(llm.tokenizer, text, grid);
  const exact = options.exact ? new ExactCache(options.exact, llm, BASE) : null;
  const decoders = await decodersFor(llm, [BASE, kv]);
  try {
    const [base, own] = decoders.map((decoder) => makeContender(decoder, llm.config.maxPositionEmbeddings));
    const hits = { own: 0, base: 0, asked: 0 };
    const count = (answers: readonly boolean[]): number => answers.filter(Boolean).length;
    for (const [n, prompt] of prompts.entries()) {
      if (limit.isOver) break;
      const ask = (): Promise<boolean[]> => recallsAll(base!, prompt, signal);
      hits.base += count(exact ? await exact.result("needle grid", prompt, ask) : await ask());
      hits.own += count(await recallsAll(own!, prompt, signal));
      hits.asked += prompt.questions.length;
      onPrompt?.(n + 1, prompts.length);
      if (n + 1 >= ENOUGH_PROMPTS && 2 * hits.base < hits.asked) break;
    }
    const { asked } = hits;
    return asked === 0 ? null : { own: hits.own / asked, base: hits.base / asked, prompts: asked };
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}
