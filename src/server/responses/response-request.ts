/** @file Requests of OpenAI's Responses API, and the chat request that each comes to. */
import { z } from "zod";
import { ApiError } from "../api-error.ts";
import { checkedChat, type FieldNames, type NamedMessage } from "../checked-chat.ts";
import { acceptOnly, flag, ignored, real, seed, text, whole } from "../request-fields.ts";
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
    seed,
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

function checkText(param: string, value: unknown): void {
  if (typeof value !== "string") throw wrong(param, "expected a text");
}

/**
 * Items as messages: calls and thoughts that follow each other are one message of the assistant's.
 * @throws ApiError 400 — an item of a kind that a model without tools of the server's cannot have
 */
export const messagesOf = (input: ResponseRequest["input"] | readonly Item[]): LooseMessage[] =>
  namedMessages(input).map(({ message }) => message);

function namedMessages(input: ResponseRequest["input"] | readonly Item[]): NamedMessage[] {
  if (typeof input === "string") {
    return [{ message: { role: "user", content: input }, name: "input", content: "input" }];
  }
  const messages: NamedMessage[] = [];
  for (const [index, one] of input.entries()) {
    const name = `input.${index}`;
    const last = messages.at(-1)?.message;
    switch (one.type ?? "message") {
      case "message":
        if (
          one["role"] === "assistant" &&
          last?.["reasoning_content"] !== undefined &&
          last["content"] === "" &&
          last["tool_calls"] === undefined
        ) {
          last["content"] = one["content"];
        } else messages.push({ message: { role: one["role"], content: one["content"] }, name });
        break;
      case "reasoning":
        messages.push({ message: { role: "assistant", content: "", reasoning_content: thoughtOf(one) }, name });
        break;
      case "function_call": {
        const { name: called, arguments: given, call_id: id } = one as Record<string, unknown>;
        checkText(`${name}.name`, called);
        checkText(`${name}.call_id`, id ?? "");
        const call = { id, type: "function", function: { name: called, arguments: given } };
        if (last?.["role"] !== "assistant") {
          messages.push({ message: { role: "assistant", content: "", tool_calls: [call] }, name });
        } else last["tool_calls"] = [...((last["tool_calls"] ?? []) as unknown[]), call];
        break;
      }
      case "function_call_output": {
        const { call_id: id, output } = one as Record<string, unknown>;
        checkText(`${name}.call_id`, id ?? "");
        messages.push({
          message: { role: "tool", tool_call_id: id, content: output },
          name,
          content: `${name}.output`,
        });
        break;
      }
      default:
        throw wrong(`${name}.type`, `expected message, function_call, function_call_output or reasoning`);
    }
  }
  return messages;
}

function thoughtOf(item: Item): string {
  const parts = (Array.isArray(item["content"]) ? item["content"] : []) as { text?: unknown }[];
  return parts.map(({ text }) => (typeof text === "string" ? text : "")).join("");
}

/** Fields of the chat request, as they are called here. */
export const RESPONSE_NAMES: FieldNames = [
  [/^tools\.(\d+)\.function/, "tools.$1"],
  [/^response_format(?:\.json_schema)?/, "text.format"],
  [/^reasoning_effort/, "reasoning.effort"],
  [/^max_tokens/, "max_output_tokens"],
  [/^messages/, "input"],
];

/** @throws ApiError 400 — what the chat request is refused for */
export function chatOf(request: ResponseRequest, earlier: readonly LooseMessage[]): ChatRequest {
  const { instructions, tools, tool_choice, reasoning } = request;
  const format = request.text?.format;
  const choice =
    typeof tool_choice === "object" && tool_choice !== null
      ? { type: "function", function: { name: tool_choice.name } }
      : tool_choice;
  const said: readonly NamedMessage[] = [
    ...(instructions ? [{ message: { role: "system", content: instructions }, name: "instructions" }] : []),
    ...earlier.map((message) => ({ message, name: "previous_response_id" })),
    ...namedMessages(request.input),
  ];
  const chat = {
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
  return checkedChat(said, chat, RESPONSE_NAMES);
}
