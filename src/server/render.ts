/**
 * @file vLLM's `/v1/chat/completions/render` and `/v1/completions/render`: what a request's prompt comes to, as text and as token ids, of which
 * nothing is computed. A router counts them, or looks for the server that has most of them.
 */
import { checkPrompt } from "../engine/scheduler/make-request.ts";
import type { Call } from "./call.ts";
import { chatPrompt } from "./chat-plan.ts";
import { completionPrompts } from "./completions.ts";
import { encodePrompt } from "./encode-text.ts";
import type { ChatRequest, CompletionRequest } from "./request-schema.ts";
import { promptList } from "./token-fields.ts";

/** A prompt as the model reads it. */
interface WirePrompt {
  readonly request_id: string;
  readonly model: string;
  readonly prompt: string;
  readonly token_ids: readonly number[];
}

/** One prompt, with the errors that an answer to the request would have about it. */
export async function renderChat(call: Call, request: ChatRequest): Promise<Response> {
  const model = await call.use(request.model);
  const prompt = await chatPrompt(call, request);
  const ids = await encodePrompt(call, prompt, { addSpecialTokens: false });
  checkPrompt(ids, call.model.llm, 1);
  const rendered: WirePrompt = { request_id: `chatcmpl-${call.id}`, model, prompt, token_ids: ids };
  return Response.json(rendered);
}

/** A list, also of a single prompt. */
export async function renderCompletion(call: Call, request: CompletionRequest): Promise<Response> {
  const model = call.modelName(request.model);
  const texts = promptList(request.prompt);
  const prompts = await completionPrompts(call, request);
  const { llm } = call.model;
  for (const ids of prompts) checkPrompt(ids, llm, request.max_tokens === 0 ? 0 : 1);
  const rendered = prompts.map((ids, i): WirePrompt => {
    const text = texts[i]!;
    return {
      request_id: prompts.length === 1 ? `cmpl-${call.id}` : `cmpl-${call.id}-${i}`,
      model,
      prompt: typeof text === "string" ? text : llm.tokenizer.decode(ids),
      token_ids: ids,
    };
  });
  return Response.json(rendered);
}
