/** @file `POST /v1/completions`: plain continuation, with `echo` and `logprobs` as evaluation harnesses use them. */
import type { Usage } from "../engine/generation.ts";
import type { PromptLogprob, ScheduledChunk } from "../engine/scheduler/request.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import { constraintOf } from "./bound-answer.ts";
import type { Call } from "./call.ts";
import { encodePrompts } from "./encode-text.ts";
import { eventStream } from "./event-stream.ts";
import { callScheduler } from "./generation-call.ts";
import type { CompletionRequest } from "./request-schema.ts";
import { samplingOptions } from "./sampling-options.ts";
import { requestedGrammar } from "./structured-fields.ts";
import { promptList } from "./token-fields.ts";
import { sumUsage, wireTimings } from "./usage.ts";
import { CacheWriter, type WireCache } from "./wire-cache.ts";
import { type CompletionLogprobs, emptyLogprobs, LogprobWriter } from "./wire-logprobs.ts";

/** OpenAI's default. */
const DEFAULT_MAX_TOKENS = 16;
/** Limit of prompts times continuations in one request. */
const MAX_CHOICES = 256;
/** Limit of log-probabilities of prompts in one answer, some 50 MB of JSON. */
const MAX_ECHOED = 1 << 21;

export async function completions(call: Call, request: CompletionRequest): Promise<Response> {
  const model = call.modelName(request.model);
  const n = request.n ?? 1;
  const prompts = await completionPrompts(call, request);
  const { llm } = call.model;
  const limit = request.max_tokens ?? request.n_predict ?? DEFAULT_MAX_TOKENS;
  const maxTokens = limit < 0 ? llm.runner.contextLength : limit;
  const wantsLogprobs = typeof request.logprobs === "number";
  if (request.echo && typeof request.logprobs === "number") checkEcho(prompts, n, request.logprobs);
  const options = {
    ...samplingOptions(request, llm),
    ...call.owned(request.cache_salt, prompts, { n, newTokens: maxTokens }),
    maxNewTokens: Math.max(1, maxTokens),
    scoreOnly: maxTokens === 0,
    logprobs: request.logprobs ?? 0,
    wantsLogprob: wantsLogprobs,
    ...(request.echo && wantsLogprobs && { promptLogprobs: request.logprobs ?? 0 }),
  };
  const bound = requestedGrammar(request);
  const constraint = bound ? await constraintOf(llm, bound) : undefined;
  let chunks: AsyncGenerator<ScheduledChunk, void>;
  try {
    chunks = callScheduler(prompts, { ...call.schedule, options: { ...options, ...(constraint && { constraint }) } });
  } finally {
    // Each continuation has a fork of it by now, or the request was refused.
    constraint?.release?.();
  }
  const writer = new ChoiceWriter(request, prompts, n, llm.tokenizer);
  const head = {
    id: `cmpl-${call.id}`,
    object: "text_completion",
    created: call.created,
    model,
    system_fingerprint: call.fingerprint,
  };
  if (request.stream) {
    const includeUsage = request.stream_options?.include_usage === true;
    return eventStream(streamed(chunks, writer, head, n, includeUsage, call), call);
  }
  return Response.json(await collected(chunks, writer, head, n, call));
}

/**
 * The token ids of a request's prompts, for which it takes its model.
 * @throws ApiError 400 — more choices than one request may have; as `encodePrompts`
 */
export async function completionPrompts(
  call: Call,
  request: CompletionRequest,
): Promise<readonly (readonly number[])[]> {
  const n = request.n ?? 1;
  if (typeof request.best_of === "number" && request.best_of !== n) {
    throw new ApiError(400, "best_of: only the value of n is supported; leave it out", {
      code: "invalid_value",
      param: "best_of",
    });
  }
  // Before anything is encoded, which takes time.
  const texts = promptList(request.prompt);
  const numChoices = texts.length * n;
  if (numChoices > MAX_CHOICES) {
    throw new ApiError(
      400,
      `prompt: expected at most ${MAX_CHOICES} prompts times n, got ${numChoices}; split the request`,
      {
        code: "invalid_value",
        param: "prompt",
      },
    );
  }
  await call.use(request.model);
  return await encodePrompts(call, texts, { addSpecialTokens: request.add_special_tokens ?? true }, "prompt");
}

/** Bounds the answer: each continuation repeats the log-probabilities of its prompt. */
function checkEcho(prompts: readonly (readonly number[])[], n: number, logprobs: number): void {
  const entries = prompts.reduce((sum, { length }) => sum + length, 0) * n * (logprobs + 1);
  if (entries <= MAX_ECHOED) return;
  throw new ApiError(
    400,
    `logprobs: echo would list ${entries} log-probabilities of prompts, more than ${MAX_ECHOED}; ask for fewer, for a smaller n, or for fewer prompts at once`,
    { code: "invalid_value", param: "logprobs" },
  );
}

/** Writes the pieces of the choices, with `echo` and log-probabilities. */
class ChoiceWriter {
  readonly #request: CompletionRequest;
  readonly #prompts: readonly (readonly number[])[];
  readonly #n: number;
  readonly #tokenizer: Tokenizer;
  /** Of the choices that have begun. */
  readonly #logprobs = new Map<number, LogprobWriter>();
  /** Log-probabilities of each prompt, shared by its continuations. */
  readonly #scored = new Map<number, readonly PromptLogprob[]>();

  constructor(request: CompletionRequest, prompts: readonly (readonly number[])[], n: number, tokenizer: Tokenizer) {
    this.#request = request;
    this.#prompts = prompts;
    this.#n = n;
    this.#tokenizer = tokenizer;
  }

  /** What a piece adds to its choice; null when the client gets nothing of it. */
  write(chunk: ScheduledChunk): { text: string; logprobs: CompletionLogprobs | null } | null {
    const { index, token } = chunk;
    const source = Math.floor(index / this.#n);
    if (chunk.promptLogprobs) {
      this.#scored.set(source, chunk.promptLogprobs);
      return null;
    }
    const logprobs = typeof this.#request.logprobs === "number" ? emptyLogprobs() : null;
    let text = "";
    let writer = this.#logprobs.get(index);
    if (!writer) {
      writer = new LogprobWriter(this.#tokenizer);
      this.#logprobs.set(index, writer);
      if (this.#request.echo) text = this.#tokenizer.decode(this.#prompts[source]!);
      if (logprobs) this.#writePrompt(logprobs, writer, source);
    }
    if (token !== undefined && logprobs) writer.push(logprobs, token, chunk.logprob ?? 0, chunk.topLogprobs ?? []);
    return { text: text + chunk.text, logprobs };
  }

  #writePrompt(to: CompletionLogprobs, writer: LogprobWriter, source: number): void {
    const prompt = this.#prompts[source]!;
    const scored = this.#request.echo ? this.#scored.get(source) : undefined;
    if (!scored) writer.skip(prompt);
    else
      for (const [i, entry] of scored.entries()) writer.push(to, prompt[i]!, entry?.logprob ?? null, entry?.top ?? []);
  }
}

/** Adds up usage: prompts by their first continuation, and all continuations. */
class UsageSum {
  readonly #all = new Map<number, Usage>();
  readonly #n: number;

  constructor(n: number) {
    this.#n = n;
  }

  add(index: number, usage: Usage): void {
    this.#all.set(index, usage);
  }

  get total() {
    const firsts = [...this.#all].filter(([index]) => index % this.#n === 0).map(([, usage]) => usage);
    return sumUsage(firsts, [...this.#all.values()]);
  }
}

async function* streamed(
  chunks: AsyncGenerator<ScheduledChunk, void>,
  writer: ChoiceWriter,
  head: object,
  n: number,
  includeUsage: boolean,
  call: Call,
): AsyncGenerator<object, void> {
  const usage = new UsageSum(n);
  const caches = new CacheWriter(call.model.llm.config);
  for await (const chunk of chunks) {
    const { index, finishReason = null, timings } = chunk;
    const piece = writer.write(chunk);
    if (!piece) continue;
    if (chunk.usage) usage.add(index, chunk.usage);
    if (piece.text === "" && !piece.logprobs && !finishReason && !chunk.cache) continue;
    yield {
      ...head,
      choices: [{ index, ...piece, finish_reason: finishReason, ...caches.write(chunk) }],
      ...(includeUsage && { usage: null }),
      ...(chunk.usage && timings && { timings: wireTimings(chunk.usage, timings) }),
    };
  }
  call.onUsage(usage.total);
  if (includeUsage) yield { ...head, choices: [], usage: usage.total };
}

interface CompletionChoice {
  readonly index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
  finish_reason: string | null;
  kv_cache?: WireCache;
}

async function collected(
  chunks: AsyncGenerator<ScheduledChunk, void>,
  writer: ChoiceWriter,
  head: object,
  n: number,
  call: Call,
): Promise<object> {
  const choices: CompletionChoice[] = [];
  const usage = new UsageSum(n);
  const caches = new CacheWriter(call.model.llm.config);
  let timings: object | undefined;
  for await (const chunk of chunks) {
    const { index } = chunk;
    const piece = writer.write(chunk);
    if (!piece) continue;
    const choice = (choices[index] ??= { index, text: "", logprobs: null, finish_reason: null });
    choice.text += piece.text;
    if (piece.logprobs && choice.logprobs) {
      for (const name of ["tokens", "token_logprobs", "top_logprobs", "text_offset"] as const) {
        (choice.logprobs[name] as unknown[]).push(...piece.logprobs[name]);
      }
    } else choice.logprobs = piece.logprobs;
    choice.finish_reason = chunk.finishReason ?? null;
    if (!chunk.usage) continue;
    Object.assign(choice, caches.write(chunk));
    usage.add(index, chunk.usage);
    if (index === 0 && chunk.timings) timings = wireTimings(chunk.usage, chunk.timings);
  }
  call.onUsage(usage.total);
  return { ...head, choices, usage: usage.total, ...(timings && { timings }) };
}
