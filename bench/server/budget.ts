/**
 * @file A budget that bends: how many conversations grow to a length side by side before one of them is preempted, and what their answers lose.
 *
 * The budget is half of what conversations in k4v4 take at that length. Formats of one width keep as many as fit; `auto` codes old pages anew first. The loss is
 * measured in this process, with as many sequences, the same budget, and the same engine: texts that the model wrote are fed side by side, and the logits behind
 * their prompts are compared with those of the exact cache.
 */
import { fileURLToPath } from "node:url";
import "../../src/node/install.ts";
import { LLM } from "../../src/engine/llm.ts";
import { Runner } from "../../src/engine/runner.ts";
import { klDivergence, rowStats, summarizeDivergence } from "../../src/eval/divergence.ts";
import { decodersFor } from "../../src/eval/format-decoders.ts";
import { batchStandardError } from "../../src/eval/intervals.ts";
import { writeSelfText } from "../../src/eval/self-text.ts";
import { randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { type Streamed, stream } from "./stream.ts";

const MODEL = fileURLToPath(new URL("../../models/qwen3-3m", import.meta.url));
/** The format whose bytes the budget is half of, and those that are tried in it. */
const MEASURE = "k4v4";
const FORMATS = [MEASURE, "k2v2", "auto"];
/** Conversations whose bytes the budget is half of. */
const CONVERSATIONS = 16;
const PROMPT_TOKENS = 64;
/** Tokens of each sequence in a step of the comparison. */
const STEP_TOKENS = 16;

interface Crowd {
  readonly preemptions: number;
  readonly coarsened: number;
  /** Whether all of them were computed at the same time. */
  readonly isTogether: boolean;
}

/** n clients at once, each with a prompt of its own and an answer up to `tokens`. */
async function crowd(kv: string, budget: number, tokens: number, n: number, serve: readonly string[]): Promise<Crowd> {
  const server = await ServerProcess.start(["--kv", kv, "--kv-budget", `${budget}`, "--parallel", "512", ...serve]);
  try {
    const begun = performance.now();
    const answers = await Promise.all(
      Array.from({ length: n }, async (_, i): Promise<Streamed & { readonly sentAt: number }> => {
        const sentAt = performance.now() - begun;
        const request = { prompt: randomTokens(7000 + i, PROMPT_TOKENS), max_tokens: tokens - PROMPT_TOKENS };
        const answer = await stream(server.url, { ...request, temperature: 1, seed: i, ignore_eos: true });
        return { ...answer, sentAt };
      }),
    );
    const wrong = answers.filter(({ completionTokens }) => completionTokens !== tokens - PROMPT_TOKENS).length;
    if (wrong > 0) throw new Error(`${kv}: ${wrong} of ${n} answers ended early`);
    const lastBegin = Math.max(...answers.map(({ sentAt, ttftMs }) => sentAt + ttftMs));
    const firstEnd = Math.min(...answers.map(({ sentAt, totalMs }) => sentAt + totalMs));
    return {
      preemptions: await server.metric("num_preemptions_total"),
      coarsened: await server.metric("kv_pages_coarsened_total"),
      isTogether: lastBegin < firstEnd,
    };
  } finally {
    await server.stop();
  }
}

/** Bytes of one conversation of `tokens` tokens, as allocated. */
async function bytesOfOne(kv: string, tokens: number, serve: readonly string[]): Promise<number> {
  const server = await ServerProcess.start(["--kv", kv, ...serve]);
  try {
    await stream(server.url, {
      prompt: randomTokens(6999, tokens - 1),
      max_tokens: 2,
      temperature: 0,
      ignore_eos: true,
    });
    return Math.max(
      ...((await (await fetch(`${server.url}/slots`)).json()) as { kv_bytes: number }[]).map(
        ({ kv_bytes }) => kv_bytes,
      ),
    );
  } finally {
    await server.stop();
  }
}

/** The most conversations without preemption. guess: where to begin to look */
async function most(
  kv: string,
  budget: number,
  tokens: number,
  guess: number,
  serve: readonly string[],
  onProgress: (text: string) => void,
) {
  const keeps = async (n: number) => {
    const tried = await crowd(kv, budget, tokens, n, serve);
    onProgress(`${kv}: ${n} conversations, ${tried.preemptions} preemptions, ${tried.coarsened} pages coded anew`);
    return { ...tried, n, isKept: tried.preemptions === 0 && tried.isTogether };
  };
  let at = await keeps(guess);
  if (at.isKept) {
    for (let next = await keeps(at.n + 1); next.isKept; next = await keeps(at.n + 1)) at = next;
    return at;
  }
  while (!at.isKept && at.n > 1) at = await keeps(at.n - 1);
  return at;
}

/** Divergence of the formats from the exact cache, behind the prompts, with `counts[i]` conversations of format i in the budget. */
async function losses(
  formats: readonly string[],
  counts: readonly number[],
  budget: number,
  tokens: number,
  model: string,
) {
  const llm = await LLM.load(model, { kv: "f16" });
  const decoders = await decodersFor(llm, ["f16", ...formats]);
  try {
    const all = Math.max(...counts);
    const ids = llm.tokenizer.encode(await writeSelfText(llm, { tokens: all * tokens, seed: 1 }), {
      addSpecialTokens: false,
    });
    const texts = Array.from({ length: all }, (_, i) => Int32Array.from(ids.slice(i * tokens, (i + 1) * tokens)));
    const { vocabSize } = llm.config;
    const parts = decoders.map((decoder, i) => {
      const isBase = i === 0;
      const cache = decoder.createCache(isBase ? undefined : budget);
      const runner = new Runner(decoder, { contextLength: tokens });
      return { runner, sequences: texts.slice(0, isBase ? all : counts[i - 1]!).map(() => cache.createSequence()) };
    });
    const klds: number[][][] = formats.map((_, i) => Array.from({ length: counts[i]! }, () => []));
    for (let at = 0; at < tokens; at += STEP_TOKENS) {
      let exact = new Float32Array(0);
      for (const [i, { runner, sequences }] of parts.entries()) {
        const works = sequences.map((sequence, n) => ({
          sequence,
          tokens: texts[n]!.subarray(at, at + STEP_TOKENS),
          logits: "all" as const,
        }));
        const logits = await runner.step(works);
        if (i === 0) exact = logits as Float32Array<ArrayBuffer>;
        else if (at >= PROMPT_TOKENS) {
          for (let row = 0; row < logits.length / vocabSize; row++) {
            const [base, own] = [exact, logits].map((of) => of.subarray(row * vocabSize, (row + 1) * vocabSize)) as [
              Float32Array,
              Float32Array,
            ];
            klds[i - 1]![Math.floor(row / works[0]!.tokens.length)]!.push(
              klDivergence(base, rowStats(base), own, rowStats(own)),
            );
          }
        }
      }
    }
    return parts.slice(1).map(({ runner, sequences }, i) => ({
      ...summarizeDivergence(klds[i]!.flat()),
      standardError: batchStandardError(klds[i]!.flat()),
      tokens: klds[i]!.flat().length,
      coarsened: runner.coarsening.numPages,
      bytes: sequences.reduce((sum, { numBytes }) => sum + numBytes, 0),
    }));
  } finally {
    for (const decoder of decoders) decoder.dispose();
    await llm.dispose();
  }
}

/** A row for each format. tokens: of a conversation · model: folder, or the embedded model of 3 million parameters */
export async function measureBudget(
  tokens: number,
  serve: readonly string[],
  onProgress: (text: string) => void,
  model = MODEL,
): Promise<object[]> {
  const one = await bytesOfOne(MEASURE, tokens, serve);
  const budget = Math.floor((one * CONVERSATIONS) / 2);
  const found: Awaited<ReturnType<typeof most>>[] = [];
  for (const kv of FORMATS) {
    const guess = found.length === 0 ? CONVERSATIONS / 2 : Math.floor(1.8 * found[0]!.n);
    found.push(await most(kv, budget, tokens, guess, serve, onProgress));
  }
  onProgress("the divergence of their answers");
  const loss = await losses(
    FORMATS,
    found.map(({ n }) => n),
    budget,
    tokens,
    model,
  );
  return FORMATS.map((kv, i) => ({
    test: "budget",
    kv,
    kv_budget_bytes: budget,
    budget_of: `half of ${CONVERSATIONS} conversations in ${MEASURE}`,
    tokens,
    conversations: found[i]!.n,
    conversations_ratio: found[i]!.n / found[0]!.n,
    pages_coarsened: found[i]!.coarsened,
    kld_mean: loss[i]!.kldMean,
    kld_mean_se: loss[i]!.standardError,
    kld_p999: loss[i]!.kldP999,
    kld_tokens: loss[i]!.tokens,
    kld_pages_coarsened: loss[i]!.coarsened,
    kv_bytes_end: loss[i]!.bytes,
  }));
}
