/** @file `POST /v1/chat/completions`. */
import type { FinishReason, Timings, Usage } from "../engine/generation.ts";
import type { ScheduledChunk } from "../engine/scheduler/request.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { ChatAnswer } from "./chat-answer.ts";
import { type ChatPlan, planChat } from "./chat-plan.ts";
import { eventStream } from "./event-stream.ts";
import { callScheduler } from "./generation-call.ts";
import type { ChatRequest } from "./request-schema.ts";
import { samplingOptions } from "./sampling-options.ts";
import { sumUsage, wireTimings } from "./usage.ts";
import { CacheWriter, type WireCache } from "./wire-cache.ts";
import { chatLogprob } from "./wire-logprobs.ts";

type Logprob = ReturnType<typeof chatLogprob>;

export async function chatCompletions(call: Call, request: ChatRequest): Promise<Response> {
  const model = call.modelName(request.model);
  if (typeof request.top_logprobs === "number" && !request.logprobs) {
    throw new ApiError(400, "top_logprobs: needs logprobs: true", { code: "invalid_value", param: "top_logprobs" });
  }
  await call.use(model);
  const { llm } = call.model;
  const top = request.top_logprobs ?? 0;
  const plan = await planChat(call, request);
  const chunks = chatChunks(call, request, plan);
  const head = { id: `chatcmpl-${call.id}`, created: call.created, model, system_fingerprint: call.fingerprint };
  const logprobOf = (chunk: ScheduledChunk): Logprob | null =>
    request.logprobs && chunk.token !== undefined ? chatLogprob(llm.tokenizer, chunk.token, chunk, top) : null;
  if (request.stream) {
    const includeUsage = request.stream_options?.include_usage === true;
    return eventStream(streamed(chunks, head, plan, logprobOf, includeUsage, call), call);
  }
  return Response.json(await collected(chunks, head, plan, logprobOf, request.logprobs === true, call));
}

/** Begins the answers that a plan is for. */
export function chatChunks(call: Call, request: ChatRequest, plan: ChatPlan): AsyncGenerator<ScheduledChunk, void> {
  const { llm } = call.model;
  const limit = request.max_completion_tokens ?? request.max_tokens ?? request.n_predict ?? -1;
  const newTokens = limit < 0 ? llm.runner.contextLength : limit;
  try {
    return callScheduler([plan.ids], {
      ...call.schedule,
      options: {
        ...samplingOptions(request, llm),
        ...call.owned(request.cache_salt, [plan.ids], { n: request.n ?? 1, newTokens }),
        maxNewTokens: newTokens,
        logprobs: request.logprobs ? (request.top_logprobs ?? 0) : 0,
        wantsLogprob: request.logprobs === true,
        ...(plan.constraint && { constraint: plan.constraint }),
        ...(plan.keepsSpecialTokens && { skipSpecialTokens: false }),
      },
    });
  } finally {
    // Each continuation has a fork of it by now, or the request was refused.
    plan.constraint?.release?.();
  }
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

async function* streamed(
  chunks: AsyncGenerator<ScheduledChunk, void>,
  head: Head,
  plan: ChatPlan,
  logprobOf: (chunk: ScheduledChunk) => Logprob | null,
  includeUsage: boolean,
  call: Call,
): AsyncGenerator<object, void> {
  const make = (choices: readonly object[], more: object = {}) => ({
    ...head,
    object: "chat.completion.chunk",
    choices,
    ...(includeUsage && { usage: null }),
    ...more,
  });
  const answers = new Map<number, ChatAnswer>();
  const caches = new CacheWriter(call.model.llm.config);
  const usages: Usage[] = [];
  for await (const chunk of chunks) {
    const { index, text, finishReason, usage, timings } = chunk;
    let answer = answers.get(index);
    if (!answer) {
      answer = new ChatAnswer(plan);
      answers.set(index, answer);
      yield make([{ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }]);
    }
    const logprob = logprobOf(chunk);
    const logprobs = logprob && { content: [logprob] };
    const cache = caches.write(chunk);
    const isLast = finishReason !== undefined && usage !== undefined && timings !== undefined;
    const deltas = answer.push(text, isLast);
    // What comes with a token goes with the first of its deltas.
    const extra = { logprobs, ...(!isLast && cache) };
    if (deltas.length === 0 && (logprob || (chunk.cache && !isLast))) deltas.push({ content: "" });
    for (const [i, delta] of deltas.entries()) {
      yield make([{ index, delta, finish_reason: null, ...(i === 0 ? extra : { logprobs: null }) }]);
    }
    if (!isLast) continue;
    usages.push(usage);
    yield make([{ index, delta: {}, logprobs: null, finish_reason: answer.finish(finishReason), ...cache }], {
      timings: wireTimings(usage, timings),
    });
  }
  const total = sumUsage(usages.slice(0, 1), usages);
  call.onUsage(total);
  if (includeUsage) yield make([], { usage: total });
}

interface Choice {
  readonly answer: ChatAnswer;
  readonly logprobs: Logprob[];
  finishReason: FinishReason;
  usage: Usage | null;
  timings: Timings | null;
  cache: { readonly kv_cache?: WireCache };
}

async function collected(
  chunks: AsyncGenerator<ScheduledChunk, void>,
  head: Head,
  plan: ChatPlan,
  logprobOf: (chunk: ScheduledChunk) => Logprob | null,
  wantsLogprobs: boolean,
  call: Call,
) {
  const choices: Choice[] = [];
  const caches = new CacheWriter(call.model.llm.config);
  for await (const chunk of chunks) {
    const choice = (choices[chunk.index] ??= {
      answer: new ChatAnswer(plan),
      logprobs: [],
      finishReason: "stop",
      usage: null,
      timings: null,
      cache: {},
    });
    choice.answer.push(chunk.text, chunk.finishReason !== undefined);
    const logprob = logprobOf(chunk);
    if (logprob) choice.logprobs.push(logprob);
    if (!chunk.finishReason) continue;
    choice.finishReason = chunk.finishReason;
    choice.usage = chunk.usage ?? null;
    choice.timings = chunk.timings ?? null;
    choice.cache = caches.write(chunk);
  }
  const usages = choices.flatMap(({ usage }) => usage ?? []);
  const total = sumUsage(usages.slice(0, 1), usages);
  call.onUsage(total);
  const [first] = choices;
  return {
    ...head,
    object: "chat.completion",
    choices: choices.map(({ answer, logprobs, finishReason, cache }, index) => ({
      index,
      message: answer.message,
      logprobs: wantsLogprobs ? { content: logprobs, refusal: null } : null,
      finish_reason: answer.finish(finishReason),
      ...cache,
    })),
    usage: total,
    ...(first?.usage && first.timings && { timings: wireTimings(first.usage, first.timings) }),
  };
}
