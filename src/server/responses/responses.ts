/** @file `/v1/responses`: OpenAI's Responses API, with the answers that it keeps for requests that go on from them. */
import type { FinishReason, Usage } from "../../engine/generation.ts";
import { ApiError } from "../api-error.ts";
import type { Call } from "../call.ts";
import { ChatAnswer } from "../chat-answer.ts";
import { chatChunks } from "../chat-completions.ts";
import { planChat } from "../chat-plan.ts";
import { withNames } from "../checked-chat.ts";
import { eventStream } from "../event-stream.ts";
import type { ServerOptions } from "../server-context.ts";
import { sumUsage } from "../usage.ts";
import { chatOf, type LooseMessage, messagesOf, RESPONSE_NAMES, type ResponseRequest } from "./response-request.ts";
import { ResponseStore, type StoredResponse } from "./response-store.ts";
import { type ResponseEvent, ResponseWriter } from "./response-writer.ts";

const stores = new WeakMap<ServerOptions, ResponseStore>();

function storeOf(server: ServerOptions): ResponseStore {
  let store = stores.get(server);
  if (!store) {
    store = new ResponseStore();
    stores.set(server, store);
  }
  return store;
}

/** @throws ApiError 404 */
function storedResponse({ server, owner }: Call, id: string, param?: string): StoredResponse {
  const stored = storeOf(server).get(owner, id);
  if (stored) return stored;
  throw new ApiError(404, `response ${JSON.stringify(id.slice(0, 100))}: not stored here; send the items themselves`, {
    code: "not_found",
    ...(param !== undefined && { param }),
  });
}

export const showResponse = (call: Call, id: string): Response => Response.json(storedResponse(call, id).response);

export function deleteResponse(call: Call, id: string): Response {
  storedResponse(call, id);
  storeOf(call.server).delete(call.owner, id);
  return Response.json({ id, object: "response.deleted", deleted: true });
}

/** How a response ends, by why its tokens did. */
const OUTCOMES = {
  stop: { status: "completed" },
  length: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
  aborted: {
    status: "failed",
    error: { code: "server_error", message: "the answer was cut off: the server shuts down; ask another server" },
  },
} satisfies Record<FinishReason, object>;

export async function createResponse(call: Call, request: ResponseRequest): Promise<Response> {
  const model = call.modelName(request.model);
  const previous = request.previous_response_id;
  const earlier = previous ? storedResponse(call, previous, "previous_response_id").messages : [];
  await call.use(model);
  const chat = chatOf(request, earlier);
  const plan = await withNames(RESPONSE_NAMES, () => planChat(call, chat));
  const chunks = chatChunks(call, chat, plan);
  const writer = new ResponseWriter(call.id);
  const head = headOf(call, request, model);
  const answer = new ChatAnswer(plan);

  async function* events(): AsyncGenerator<ResponseEvent, void> {
    const begun = { ...head, status: "in_progress", output: [], usage: null };
    yield writer.event("response.created", { response: begun });
    yield writer.event("response.in_progress", { response: begun });
    let usage: Usage | undefined;
    let reason: FinishReason = "stop";
    for await (const chunk of chunks) {
      for (const delta of answer.push(chunk.text, chunk.finishReason !== undefined)) yield* writer.push(delta);
      reason = chunk.finishReason ?? reason;
      usage = chunk.usage ?? usage;
    }
    yield* writer.end(reason);
    const response = {
      ...head,
      ...OUTCOMES[reason],
      output: writer.output,
      usage: usage ? wireUsage(call, usage) : null,
    };
    if (head.store && reason !== "aborted") {
      const messages: LooseMessage[] = [...earlier, ...messagesOf(request.input), ...messagesOf(writer.output)];
      storeOf(call.server).add(call.owner, head.id, { response, messages });
    }
    yield writer.event(`response.${response.status}`, { response });
  }

  if (request.stream) return eventStream(events(), call, "named");
  let last: object = {};
  for await (const event of events()) last = event;
  return Response.json((last as { response: object }).response);
}

function headOf(call: Call, request: ResponseRequest, model: string) {
  return {
    id: `resp_${call.id}`,
    object: "response",
    created_at: call.created,
    model,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: request.previous_response_id ?? null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    store: request.store ?? true,
    temperature: request.temperature ?? null,
    text: { format: request.text?.format ?? { type: "text" } },
    tool_choice: request.tool_choice ?? "auto",
    tools: request.tools ?? [],
    top_p: request.top_p ?? null,
    truncation: "disabled",
  };
}

function wireUsage(call: Call, usage: Usage) {
  const total = sumUsage([usage], [usage]);
  call.onUsage(total);
  return {
    input_tokens: total.prompt_tokens,
    input_tokens_details: total.prompt_tokens_details,
    output_tokens: total.completion_tokens,
    // Thoughts are not counted apart.
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: total.total_tokens,
  };
}
