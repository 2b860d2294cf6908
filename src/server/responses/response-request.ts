/** @file Requests of OpenAI's Responses API, and the chat request that each comes to. */
import { z } from "zod";
import { ApiError } from "../api-error.ts";
import { checkedChat } from "../checked-chat.ts";
import { acceptOnly, flag, ignored, real, text, whole } from "../request-fields.ts";
import type { ChatRequest } from "../request-schema.ts";

const MAX_TOKENS = 2 ** 31;
const MAX_ITEMS = 8192;

/** Items have many fields that say nothing to a model: ids, states, annotations. */
const item = z.looseObject({ type: text.nullish() });
type Item = z.infer<typeof item>;

const tool = z.looseObject(
  {
    type: z.literal("function", { error: 'expected "function", the only kind there is' }),
    name: text,
    description: text.nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: flag,
  },
  { error: 'expected {type: "function", name, parameters}' },
);
const namedChoice = z.looseObject({ type: z.literal("function"), name: text });

const textFormat = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      name: text.nullish(),
      description: text.nullish(),
      schema: z.union([z.boolean(), z.record(z.string(), z.unknown())]),
      strict: flag,
    }),
  ],
  { error: 'expected {type: "text"}, {type: "json_object"} or {type: "json_schema", name, schema}' },
);

const none = "expected none: it is not supported";
const isNone = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

export const responseRequest = z.strictObject(
  {
    model: text.nullish(),
    input: z.union([text, z.array(item).max(MAX_ITEMS, `expected at most ${MAX_ITEMS} items`)], {
      error: "expected a text or a list of items",
    }),
    instructions: text.nullish(),
    previous_response_id: text.nullish(),
    store: flag,
    stream: flag,
    max_output_tokens: whole(1, MAX_TOKENS),
    temperature: real(0, 100),
    top_p: real(0, 1),
    tools: z.array(tool).nullish(),
    tool_choice: z
      .union([z.enum(["none", "auto", "required"]), namedChoice], {
        error: 'expected none, auto, required, or {type: "function", name}',
      })
      .nullish(),
    parallel_tool_calls: flag,
    text: z.strictObject({ format: textFormat.nullish(), verbosity: ignored }).nullish(),
    reasoning: z.looseObject({ effort: text.nullish() }).nullish(),
    metadata: z.record(z.string(), z.unknown()).nullish(),
    cache_salt: text.nullish(),
    seed: z.number().nullish(),
    // These decide nothing here, or nothing but what happens anyway.
    include: ignored,
    user: ignored,
    service_tier: ignored,
    safety_identifier: ignored,
    prompt_cache_key: ignored,
    prompt_cache_retention: ignored,
    stream_options: ignored,
    truncation: acceptOnly((value) => value === "disabled" || value === "auto", "expected auto or disabled"),
    background: acceptOnly((value) => value === false, none),
    conversation: acceptOnly(() => false, "expected none: pass previous_response_id, or the items"),
    max_tool_calls: acceptOnly(() => false, none),
    prompt: acceptOnly(() => false, none),
    top_logprobs: acceptOnly((value) => value === 0, none),
    context_management: acceptOnly(isNone, none),
  },
  { error: "expected a JSON object with `input`" },
);
export type ResponseRequest = z.infer<typeof responseRequest>;

/** A message of a chat, before it is checked. */
export type LooseMessage = Readonly<Record<string, unknown>>;

const wrong = (param: string, message: string): ApiError =>
  new ApiError(400, `${param}: ${message}`, { code: "invalid_value", param });

/**
 * Items as messages: calls and thoughts that follow each other are one message of the assistant's.
 * @throws ApiError 400 — an item of a kind that a model without tools of the server's cannot have
 */
export function messagesOf(input: ResponseRequest["input"] | readonly Item[]): LooseMessage[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  const messages: Record<string, unknown>[] = [];
  const assistant = (): Record<string, unknown> => {
    const last = messages.at(-1);
    if (last?.["role"] === "assistant") return last;
    const begun = { role: "assistant", content: "" };
    messages.push(begun);
    return begun;
  };
  for (const [index, one] of input.entries()) {
    switch (one.type ?? "message") {
      case "message":
        if (one["role"] === "assistant" && messages.at(-1)?.["reasoning_content"] !== undefined) {
          const last = messages.at(-1)!;
          if (last["content"] === "" && last["tool_calls"] === undefined) {
            last["content"] = one["content"];
            break;
          }
        }
        messages.push({ role: one["role"], content: one["content"] });
        break;
      case "reasoning":
        messages.push({ role: "assistant", content: "", reasoning_content: thoughtOf(one) });
        break;
      case "function_call": {
        const message = assistant();
        const { name, arguments: given, call_id: id } = one as Record<string, unknown>;
        const calls = (message["tool_calls"] ?? []) as unknown[];
        message["tool_calls"] = [...calls, { id, type: "function", function: { name, arguments: given } }];
        break;
      }
      case "function_call_output":
        messages.push({ role: "tool", tool_call_id: one["call_id"], content: one["output"] });
        break;
      default:
        throw wrong(`input.${index}.type`, `expected message, function_call, function_call_output or reasoning`);
    }
  }
  return messages;
}

function thoughtOf(item: Item): string {
  const parts = (Array.isArray(item["content"]) ? item["content"] : []) as { text?: unknown }[];
  return parts.map(({ text }) => (typeof text === "string" ? text : "")).join("");
}

/** @throws ApiError 400 — what the chat request is refused for */
export function chatOf(request: ResponseRequest, earlier: readonly LooseMessage[]): ChatRequest {
  const { instructions, tools, tool_choice, reasoning } = request;
  const format = request.text?.format;
  const choice =
    typeof tool_choice === "object" && tool_choice !== null
      ? { type: "function", function: { name: tool_choice.name } }
      : tool_choice;
  const chat = {
    messages: [
      ...(instructions ? [{ role: "system", content: instructions }] : []),
      ...earlier,
      ...messagesOf(request.input),
    ],
    model: request.model,
    temperature: request.temperature,
    top_p: request.top_p,
    seed: request.seed,
    cache_salt: request.cache_salt,
    max_tokens: request.max_output_tokens,
    parallel_tool_calls: request.parallel_tool_calls,
    tools: tools?.map(({ type, ...own }) => ({ type, function: own })),
    tool_choice: choice,
    reasoning_effort: reasoning?.effort,
    response_format:
      format?.type === "json_schema" ? { type: format.type, json_schema: { schema: format.schema } } : format,
  };
  return checkedChat(chat);
}
