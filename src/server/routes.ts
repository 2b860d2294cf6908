/** @file All routes of the API. The health check alone is answered elsewhere (gate.ts), and the web page has what is left. */
import { chatCompletions } from "./chat-completions.ts";
import { completions } from "./completions.ts";
import { embeddings } from "./embeddings.ts";
import { countRequest, messageRequest } from "./messages/message-request.ts";
import { countTokens, createMessage } from "./messages/messages.ts";
import { listModels, loadModel, showModel, unloadModel } from "./model-routes.ts";
import { apiText } from "./openapi.ts";
import { renderChat, renderCompletion } from "./render.ts";
import {
  chatRequest,
  completionRequest,
  detokenizeRequest,
  embeddingRequest,
  modelRequest,
  slotFileRequest,
  tokenizeRequest,
} from "./request-schema.ts";
import { responseRequest } from "./responses/response-request.ts";
import { createResponse, deleteResponse, showResponse } from "./responses/responses.ts";
import { posts, type Route } from "./route.ts";
import { listSlots, SLOT_ACTIONS, slotAction } from "./slot-routes.ts";
import { applyTemplate, detokenize, metrics, props, ready, tokenize, tokenizerInfo, version } from "./small-routes.ts";

const versioned: readonly Route[] = [
  posts("/chat/completions", "Answers a conversation", "ChatCompletionRequest", chatRequest, chatCompletions),
  posts("/completions", "Continues texts or token ids", "CompletionRequest", completionRequest, completions),
  {
    ...posts("/chat/completions/render", "A chat's prompt", "ChatCompletionRequest", chatRequest, renderChat),
    answer: "application/json",
  },
  {
    ...posts(
      "/completions/render",
      "Prompts of a completion",
      "CompletionRequest",
      completionRequest,
      renderCompletion,
    ),
    answer: "application/json",
  },
  posts("/embeddings", "Makes a vector of each text", "EmbeddingRequest", embeddingRequest, embeddings),
  posts("/responses", "Answers as OpenAI's Responses API", "ResponseRequest", responseRequest, createResponse),
  {
    method: "GET",
    path: "/responses/:id",
    does: "Shows a response that was stored",
    handler: (call, { id }) => showResponse(call, id!),
  },
  {
    method: "DELETE",
    path: "/responses/:id",
    does: "Forgets a response that was stored",
    handler: (call, { id }) => deleteResponse(call, id!),
  },
  posts("/messages", "Answers as Anthropic's Messages API", "MessageRequest", messageRequest, createMessage),
  posts("/messages/count_tokens", "Counts the tokens of a prompt", "CountTokensRequest", countRequest, countTokens),
  { method: "GET", path: "/models", does: "Lists the models under their names", handler: listModels },
  {
    method: "GET",
    path: "/models/:id{.+}",
    does: "Shows a model under one of its names",
    handler: (call, { id }) => showModel(call, id!),
  },
  posts("/models/load", "Loads a model, and waits for it", "ModelRequest", modelRequest, loadModel),
  posts("/models/unload", "Takes a model out of memory", "ModelRequest", modelRequest, unloadModel),
];

export const routes: readonly Route[] = [
  ...versioned.map((route) => ({ ...route, hasVersion: true })),
  posts("/tokenize", "Texts or messages to token ids", "TokenizeRequest", tokenizeRequest, tokenize),
  posts("/detokenize", "Token ids to text", "DetokenizeRequest", detokenizeRequest, detokenize),
  {
    method: "GET",
    path: "/tokenizer_info",
    does: "The special tokens and the template",
    handler: (call, _, query) => tokenizerInfo(call, query.get("model")),
  },
  {
    ...posts("/apply-template", "The prompt of a chat request", "ChatCompletionRequest", chatRequest, applyTemplate),
    answer: "application/json",
  },
  { method: "GET", path: "/version", does: "The version of the server", isOpen: true, handler: version },
  { method: "GET", path: "/ready", does: "Whether requests are taken", isOpen: true, handler: ready },
  {
    method: "GET",
    path: "/openapi.json",
    does: "This description",
    isOpen: true,
    handler: ({ server }) => new Response(apiText(routes, server), { headers: { "content-type": "application/json" } }),
  },
  { method: "GET", path: "/metrics", does: "Prometheus metrics", answer: "text/plain", handler: metrics },
  {
    method: "GET",
    path: "/props",
    does: "Context, template, format, build",
    handler: (call, _, query) => props(call, query.get("model")),
  },
  {
    method: "GET",
    path: "/slots",
    does: "The conversations that running places saw last",
    handler: (call, _, query) => listSlots(call, query.get("model")),
  },
  {
    method: "POST",
    path: "/slots/:id",
    does: "Saves, restores or erases a slot's conversation",
    query: { action: SLOT_ACTIONS },
    body: { name: "SlotFileRequest", schema: slotFileRequest, isOptional: true },
    handler: (call, { id }, query) => slotAction(call, id!, query),
  },
];
