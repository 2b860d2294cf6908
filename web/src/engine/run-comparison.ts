/** @file Runs one prompt through several cache formats of the same weights: a text, one token of each in turn, or questions about it. */
import { allocatedBytes, type LLM, parseKvSpec, type Session } from "turboquant";
import { agreementWith } from "./agreement.ts";
import type { CompareEvent, CompareRequest, CompareResult, LikelyToken } from "./protocol.ts";

const F16 = parseKvSpec("f16");
/** How many tokens are told of each place. */
const LIKELY = 8;
const MOST_ANSWER_TOKENS = 24;

interface Column {
  readonly index: number;
  readonly llm: LLM;
  readonly session: Session;
}

type Send = (event: CompareEvent) => void;

/** Tokens are the most likely ones, so that only the cache can make a difference. */
export async function runComparison(
  owner: LLM,
  request: CompareRequest,
  send: Send,
  signal: AbortSignal,
): Promise<void> {
  const columns: Column[] = [];
  try {
    for (const [index, kv] of request.formats.entries()) {
      const llm = await owner.withKv(kv);
      columns.push({ index, llm, session: llm.createSession() });
    }
    if (request.questions.length > 0) {
      for (const column of columns) await answerQuestions(column, request, send, signal);
    } else await continueText(columns, request, send, signal);
  } finally {
    for (const { session } of columns) session.release();
    for (const { llm } of columns) await llm.dispose();
  }
}

/** A model without a template continues the text of a message. */
const encode = async (llm: LLM, text: string, isRaw: boolean): Promise<number[]> =>
  isRaw || !llm.tokenizer.chatTemplate
    ? Array.from(llm.tokenizer.encode(text))
    : await llm.encodeChat([{ role: "user", content: text }]);

function resultOf({ llm, session }: Column, promptTokens: number): CompareResult {
  const { length } = session.sequence;
  return {
    kv: llm.decoder.kv.text,
    promptTokens,
    tokens: length,
    numBytes: session.kvBytes,
    f16Bytes: allocatedBytes(llm.config, F16, length),
  };
}

async function answerQuestions(column: Column, request: CompareRequest, send: Send, signal: AbortSignal) {
  const { index, llm, session } = column;
  let promptTokens = 0;
  for (const { ask, expected } of request.questions) {
    const ids = await encode(llm, `${request.prompt}\n${ask}`, false);
    promptTokens = ids.length;
    // What the questions have in common, the text, is read once.
    const shared = session.rewindTo(ids);
    const onPrefill = (done: number, total: number) => send({ type: "prefill", column: index, done, total });
    let text = "";
    const options = { maxNewTokens: MOST_ANSWER_TOKENS, temperature: 0, signal, onPrefill };
    for await (const chunk of session.generate(ids.slice(shared), options)) text += chunk.text;
    signal.throwIfAborted();
    send({ type: "recall", column: index, text: text.trim(), isFound: text.includes(expected) });
  }
  send({ type: "done", column: index, result: resultOf(column, promptTokens) });
}

async function continueText(columns: readonly Column[], request: CompareRequest, send: Send, signal: AbortSignal) {
  const ids = await encode(columns[0]!.llm, request.prompt, request.isRaw);
  const runs = columns.map((column) => ({
    column,
    tokens: [] as number[],
    /** The cache of the prompt alone. */
    prompt: null as Session | null,
    chunks: column.session.generate(ids, {
      maxNewTokens: request.maxNewTokens,
      temperature: 0,
      logprobs: LIKELY,
      signal,
      onPrefill: (done, total) => send({ type: "prefill", column: column.index, done, total }),
    }),
  }));
  try {
    let open = runs;
    while (open.length > 0) {
      const still: typeof runs = [];
      for (const run of open) {
        const { column, chunks } = run;
        const { index, llm, session } = column;
        const { value, done } = await chunks.next();
        if (done) continue;
        if (index > 0) run.prompt ??= session.fork();
        if (value.token !== undefined) {
          run.tokens.push(value.token);
          const likely = (value.topLogprobs ?? []).map(
            ({ token, logprob }): LikelyToken => ({
              token,
              text: llm.tokenizer.decode([token]),
              probability: Math.exp(logprob),
            }),
          );
          send({ type: "token", column: index, token: value.token, text: value.text, likely });
        }
        if (value.finishReason) send({ type: "done", column: index, result: resultOf(column, ids.length) });
        else still.push(run);
      }
      open = still;
    }
    signal.throwIfAborted();
    const [reference, ...others] = runs;
    for (const { column, prompt } of others) {
      if (!prompt) continue;
      const onStep = (agreed: number, total: number): void =>
        send({ type: "agreement", column: column.index, agreed, total });
      await agreementWith({ session: prompt, prompt: ids, text: reference!.tokens, signal, onStep });
    }
  } finally {
    for (const { prompt } of runs) prompt?.release();
  }
}
