/** @file `/v1/messages`: Anthropic's Messages API, and what a prompt of it comes to in tokens. */
import type { ScheduledChunk } from "../../engine/scheduler/request.ts";
import { ApiError, shuttingDown } from "../api-error.ts";
import type { Call } from "../call.ts";
import { ChatAnswer } from "../chat-answer.ts";
import { chatChunks } from "../chat-completions.ts";
import { chatPrompt, planChat } from "../chat-plan.ts";
import { withNames } from "../checked-chat.ts";
import { encodePrompt } from "../encode-text.ts";
import { eventStream } from "../event-stream.ts";
import { sumUsage } from "../usage.ts";
import { type CountRequest, chatOfMessages, MESSAGES_NAMES, type MessageRequest } from "./message-request.ts";
import { type MessageEvent, MessageWriter } from "./message-writer.ts";

export async function countTokens(call: Call, request: CountRequest): Promise<Response> {
  await call.use(request.model);
  const text = await withNames(MESSAGES_NAMES, () => chatPrompt(call, chatOfMessages(request)));
  const ids = await encodePrompt(call, text, { addSpecialTokens: false });
  return Response.json({ input_tokens: ids.length });
}

export async function createMessage(call: Call, request: MessageRequest): Promise<Response> {
  const model = call.modelName(request.model);
  if (request.thread) throw noThreads();
  await call.use(model);
  const chat = chatOfMessages(request);
  const plan = await withNames(MESSAGES_NAMES, () => planChat(call, chat));
  const chunks = chatChunks(call, chat, plan);
  const writer = new MessageWriter();
  const answer = new ChatAnswer(plan);
  const head = { id: `msg_${call.id}`, type: "message", role: "assistant", model };
  let end: MessageEnd = { stop_reason: null, stop_sequence: null };
  let usage = wireUsage(plan.ids.length, 0, 0);

  async function* events(): AsyncGenerator<MessageEvent, void> {
    yield { type: "message_start", message: { ...head, content: [], ...end, usage } } as MessageEvent;
    for await (const chunk of chunks) {
      const { text, finishReason } = chunk;
      for (const delta of answer.push(text, finishReason !== undefined)) yield* writer.push(delta);
      if (!finishReason) continue;
      end = endOf(chunk, answer);
      if (!chunk.usage) continue;
      call.onUsage(sumUsage([chunk.usage], [chunk.usage]));
      const { promptTokens, cachedTokens, completionTokens } = chunk.usage;
      usage = wireUsage(promptTokens - cachedTokens, cachedTokens, completionTokens);
    }
    yield* writer.end();
    yield { type: "message_delta", delta: end, usage } as MessageEvent;
    yield { type: "message_stop" };
  }

  if (request.stream) return eventStream(events(), call, "messages");
  for await (const _ of events());
  return Response.json({ ...head, content: writer.content, ...end, usage });
}

/** By these details Anthropic's client knows that it has to send all messages each time. */
const noThreads = (): ApiError =>
  new ApiError(400, "thread: conversations are not kept here; send all of their messages", {
    ...{ code: "unsupported", param: "thread" },
    details: { error_code: "thread_unsupported_request", unsupported: ["thread"] },
  });

interface MessageEnd {
  readonly stop_reason: string | null;
  readonly stop_sequence: string | null;
}

/** @throws ApiError 503 — the server ends */
function endOf({ finishReason, stop }: ScheduledChunk, answer: ChatAnswer): MessageEnd {
  const reason = answer.finish(finishReason!);
  if (reason === "aborted") throw shuttingDown();
  if (stop !== undefined) return { stop_reason: "stop_sequence", stop_sequence: stop };
  const reasons = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use" };
  return { stop_reason: reasons[reason], stop_sequence: null };
}

/** Tokens that were in the cache are not among the input's. */
const wireUsage = (input: number, cached: number, output: number) => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: cached,
  output_tokens: output,
});
