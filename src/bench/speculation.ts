/**
 * @file Times answers with and without drafts side by side: by prompt lookup, by a draft model, and with the best and the worst drafts that
 * there can be, which are the answer itself and none of it.
 */
import { generateBatch } from "../engine/batch.ts";
import { collect, type GenerateOptions, type GenerationResult } from "../engine/generation.ts";
import type { LLM } from "../engine/llm.ts";
import type { Speculate, SpeculateOptions } from "../engine/speculation/speculation-options.ts";
import { TurboQuantError } from "../errors.ts";
import { interleave, type Summary, summarize } from "./samples.ts";

export interface SpeculationBenchOptions {
  /** Tokens of an answer. */
  readonly generation: number;
  /** Sequences that are computed together. */
  readonly parallel: number;
  readonly repeats: number;
  /** See `SpeculateOptions.numSpeculativeTokens`. */
  readonly draftMax?: number | undefined;
  readonly draftModel?: LLM | undefined;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface SpeculationRow {
  /** What the prompt asks for. */
  readonly text: string;
  readonly drafts: string;
  readonly tokPerSec: Summary;
  /** Speed against that of the same repeat without drafts. */
  readonly ratio: Summary;
  readonly samplesMs: readonly number[];
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  /** Tokens for each step of a sequence. */
  readonly tokensPerStep: number;
}

const STORY =
  "Once upon a time there was a little girl named Lily. She had a red ball. One day she went to the park with her mom. ";
/** Prompts by what they ask for, from what is easy to draft to what is not. */
const TEXTS: readonly (readonly [name: string, prompt: string])[] = [
  ["goes on with a list", "one two three four five. ".repeat(4).trimEnd()],
  ["tells a text again", `${STORY}Again: ${STORY}Again:`],
  ["tells something new", "The old man looked at the sea and said"],
];

/** right: whether the drafts are the answer, or what it is not */
function oracle(
  promptLength: number,
  answer: readonly number[],
  right: boolean,
): NonNullable<SpeculateOptions["createSource"]> {
  return () => ({
    propose: async (tokens, most) => {
      const at = tokens.length - promptLength;
      const next = answer.slice(at, at + most);
      return right ? next : next.map((token) => (token === 0 ? 1 : token - 1));
    },
    release() {},
  });
}

/**
 * Yields the rows of a text when all of its methods have been timed.
 * @throws TurboQuantError internal — an answer that drafts have changed
 */
export async function* benchSpeculation(llm: LLM, options: SpeculationBenchOptions): AsyncGenerator<SpeculationRow> {
  const { generation, parallel, repeats, draftMax, draftModel, signal, onProgress } = options;
  const greedy: GenerateOptions = {
    maxNewTokens: generation,
    temperature: 0,
    ignoreEos: true,
    ...(signal && { signal }),
  };
  const answer = async (ids: readonly number[], speculate: Speculate): Promise<GenerationResult> => {
    const own = { ...greedy, speculate };
    if (parallel === 1) return collect(llm.generate(ids, own));
    return (await generateBatch(llm, [ids], { ...own, n: parallel }))[0]!;
  };
  const most = draftMax === undefined ? {} : { numSpeculativeTokens: draftMax };
  for (const [text, prompt] of TEXTS) {
    const ids = llm.tokenizer.encode(prompt);
    const { tokens } = await answer(ids, "off");
    const methods: readonly (readonly [name: string, speculate: Speculate])[] = [
      ["off", "off"],
      ["prompt lookup", most],
      ...(draftModel ? [[`model ${draftModel.name}`, { ...most, model: draftModel }] as const] : []),
      ["all right", { ...most, createSource: oracle(ids.length, tokens, true) }],
      ["none right", { ...most, createSource: oracle(ids.length, tokens, false) }],
    ];
    const last: GenerationResult[] = [];
    const sample = async ([, speculate]: (typeof methods)[number], index: number): Promise<number> => {
      signal?.throwIfAborted();
      const result = await answer(ids, speculate);
      last[index] = result;
      return result.timings.decodeMs;
    };
    // The first of each compiles what it needs.
    for (const [index, method] of methods.entries()) await sample(method, index);
    const samples = await interleave(methods, repeats, sample, (done, total) => onProgress?.(text, done, total));
    for (const [index, [drafts]] of methods.entries()) {
      const samplesMs = samples[index]!;
      const { usage, tokens: own } = last[index]!;
      if (llm.ops.isRowInvariant(llm.cache.layers[0]!.format) && own.some((token, i) => token !== tokens[i])) {
        throw new TurboQuantError("internal", `bench speculation: ${drafts} changed the answer`);
      }
      const { draftedTokens = 0, acceptedTokens = 0 } = usage;
      yield {
        text,
        drafts,
        tokPerSec: summarize(samplesMs.map((ms) => (parallel * (own.length - 1) * 1000) / ms)),
        ratio: summarize(samplesMs.map((ms, i) => samples[0]![i]! / ms)),
        samplesMs,
        draftedTokens,
        acceptedTokens,
        tokensPerStep: (own.length - 1) / (own.length - 1 - acceptedTokens),
      };
    }
  }
}
