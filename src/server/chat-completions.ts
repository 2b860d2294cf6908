/** @file `POST /v1/chat/completions`. */
import type { FinishReason, Timings, Usage } from "../engine/generation.ts";
import type { ScheduledChunk } from "../engine/scheduler/request.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { eventStream } from "./event-stream.ts";
import { callScheduler } from "./generation-call.ts";
import { type ChatRequest, chatRequest } from "./request-schema.ts";
import { samplingOptions } from "./sampling-options.ts";
import { sumUsage, wireTimings } from "./usage.ts";
import { CacheWriter, type WireCache } from "./wire-cache.ts";
import { chatLogprob } from "./wire-logprobs.ts";

type WireMessage = ChatRequest["messages"][number];
type Logprob = ReturnType<typeof chatLogprob>;

/** Messages as chat templates expect them: contents become texts, and `developer` is the newer name of `system`. */
export function templateMessages(messages: readonly WireMessage[]): ChatMessage[] {
  return messages.map(({ role, content, name, reasoning_content, tool_calls, tool_call_id }) => ({
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? content.map(({ text }) => text).join("") : (content ?? ""),
    ...(name !== undefined && { name }),
    ...(typeof reasoning_content === "string" && { reasoning_content }),
    ...(tool_calls && { tool_calls: tool_calls as unknown as NonNullable<ChatMessage["tool_calls"]> }),
    ...(typeof tool_call_id === "string" && { tool_call_id }),
  }));
}

export async function chatCompletions(call: Call): Promise<Response> {
  const { server } = call;
  const request = await call.body(chatRequest);
  const model = call.model(request.model);
  const { llm } = server;
  const text = await llm.tokenizer.applyChatTemplate(templateMessages(request.messages), {
    addGenerationPrompt: request.add_generation_prompt ?? true,
    ...(request.chat_template_kwargs && { variables: request.chat_template_kwargs }),
  });
  const ids = llm.tokenizer.encode(text, { addSpecialTokens: false });
  if (typeof request.top_logprobs === "number" && !request.logprobs) {
    throw new ApiError(400, "top_logprobs: needs logprobs: true", { code: "invalid_value", param: "top_logprobs" });
  }
  const top = request.top_logprobs ?? 0;
  const limit = request.max_completion_tokens ?? request.max_tokens ?? request.n_predict;
  const chunks = callScheduler([ids], {
    ...call.schedule,
    options: {
      ...samplingOptions(request, llm),
      client: call.client,
      maxNewTokens: limit ?? llm.runner.contextLength,
      logprobs: request.logprobs ? top : 0,
      wantsLogprob: request.logprobs === true,
    },
  });
  const head = { id: `chatcmpl-${call.id}`, created: call.created, model, system_fingerprint: call.fingerprint };
  const logprobOf = (chunk: ScheduledChunk): Logprob | null =>
    request.logprobs && chunk.token !== undefined ? chatLogprob(llm.tokenizer.decode([chunk.token]), chunk, top) : null;
  if (request.stream) {
    return eventStream(streamed(chunks, head, logprobOf, request.stream_options?.include_usage === true, call), call);
  }
  return Response.json(await collected(chunks, head, logprobOf, request.logprobs === true, call));
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
  const begun = new Set<number>();
  const caches = new CacheWriter(call.server.llm.config);
  const usages: Usage[] = [];
  for await (const chunk of chunks) {
    const { index, text, finishReason, usage, timings } = chunk;
    if (!begun.has(index)) {
      begun.add(index);
      yield make([{ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }]);
    }
    const logprob = logprobOf(chunk);
    const logprobs = logprob && { content: [logprob] };
    const cache = caches.write(chunk);
    const isLast = finishReason !== undefined && usage !== undefined && timings !== undefined;
    if (text !== "" || logprob || (chunk.cache && !isLast)) {
      yield make([{ index, delta: { content: text }, logprobs, finish_reason: null, ...(!isLast && cache) }]);
    }
    if (!isLast) continue;
    usages.push(usage);
    yield make([{ index, delta: {}, logprobs: null, finish_reason: finishReason, ...cache }], {
      timings: wireTimings(usage, timings),
    });
  }
  const total = sumUsage(usages.slice(0, 1), usages);
  call.onUsage(total);
  if (includeUsage) yield make([], { usage: total });
}

interface Choice {
  text: string;
  readonly logprobs: Logprob[];
  finishReason: FinishReason;
  usage: Usage | null;
  timings: Timings | null;
  cache: { readonly kv_cache?: WireCache };
}

async function collected(
  chunks: AsyncGenerator<ScheduledChunk, void>,
  head: Head,
  logprobOf: (chunk: ScheduledChunk) => Logprob | null,
  wantsLogprobs: boolean,
  call: Call,
) {
  const choices: Choice[] = [];
  const caches = new CacheWriter(call.server.llm.config);
  for await (const chunk of chunks) {
    const choice = (choices[chunk.index] ??= {
      text: "",
      logprobs: [],
      finishReason: "stop",
      usage: null,
      timings: null,
      cache: {},
    });
    choice.text += chunk.text;
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
    choices: choices.map(({ text, logprobs, finishReason, cache }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: wantsLogprobs ? { content: logprobs, refusal: null } : null,
      finish_reason: finishReason,
      ...cache,
    })),
    usage: total,
    ...(first?.usage && first.timings && { timings: wireTimings(first.usage, first.timings) }),
  };
}
