/** @file Requests of Anthropic's Messages API, and the chat request that each comes to. */
import { z } from "zod";
import { checkedChat, type FieldNames, type NamedMessage } from "../checked-chat.ts";
import { listOfMessages } from "../message-fields.ts";
import { acceptOnly, flag, ignored, real, seed, text, whole } from "../request-fields.ts";
import type { ChatRequest } from "../request-schema.ts";

const MAX_TOKENS = 2 ** 31;

/** Further fields (`cache_control`, `citations`, `signature`) say nothing to a model. */
const textBlock = z.looseObject({ type: z.literal("text"), text });
const block = z.discriminatedUnion("type", [
  textBlock,
  z.looseObject({ type: z.literal("thinking"), thinking: text }),
  z.looseObject({ type: z.literal("redacted_thinking") }),
  z.looseObject({ type: z.literal("tool_use"), id: text, name: text, input: z.record(z.string(), z.unknown()) }),
  z.looseObject({
    type: z.literal("tool_result"),
    tool_use_id: text,
    content: z.union([text, z.array(textBlock)]).nullish(),
    is_error: flag,
  }),
]);
type Block = z.infer<typeof block>;

/** Blocks that only messages of one role have. */
const ROLE_OF: Readonly<Partial<Record<Block["type"], string>>> = {
  thinking: "assistant",
  redacted_thinking: "assistant",
  tool_use: "assistant",
  tool_result: "user",
};

const message = z
  .strictObject({
    role: z.enum(["user", "assistant"], { error: "expected user or assistant; what the system says is `system`" }),
    content: z.union([text, z.array(block)], {
      error:
        "expected a text, or a list of blocks of the types text, thinking, tool_use and tool_result; images and documents are not supported",
    }),
  })
  .superRefine(({ role, content }, context) => {
    if (typeof content === "string") return;
    for (const [i, { type }] of content.entries()) {
      const needed = ROLE_OF[type] ?? role;
      if (needed === role) continue;
      const message = `expected a block that messages of the ${role} may have: ${type} is the ${needed}'s`;
      context.addIssue({ code: "custom", path: ["content", i, "type"], message });
    }
  });

const tool = z.looseObject(
  {
    type: z.literal("custom").nullish(),
    name: text,
    description: text.nullish(),
    input_schema: z.record(z.string(), z.unknown()),
  },
  { error: "expected {name, description, input_schema}; tools of the server's are not supported" },
);

const single = { disable_parallel_tool_use: flag };
const toolChoice = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("auto"), ...single }),
    z.strictObject({ type: z.literal("any"), ...single }),
    z.strictObject({ type: z.literal("tool"), name: text, ...single }),
    z.strictObject({ type: z.literal("none") }),
  ],
  { error: "expected {type: auto, any, none, or tool with a name}" },
);

const thinking = z.discriminatedUnion(
  "type",
  [
    z.looseObject({ type: z.literal("enabled"), budget_tokens: whole(0, MAX_TOKENS) }),
    z.looseObject({ type: z.literal("adaptive") }),
    z.looseObject({ type: z.literal("disabled") }),
  ],
  { error: "expected {type: enabled, adaptive or disabled}" },
);

const format = z.strictObject(
  { type: z.literal("json_schema"), schema: z.record(z.string(), z.unknown()) },
  { error: 'expected {type: "json_schema", schema}' },
);

const none = "expected none: it is not supported";
const isNone = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

const promptFields = {
  model: text.nullish(),
  messages: listOfMessages(message),
  system: z.union([text, z.array(textBlock)], { error: "expected a text or a list of {type: text, text}" }).nullish(),
  tools: z.array(tool).nullish(),
  tool_choice: toolChoice.nullish(),
  thinking: thinking.nullish(),
  output_config: z.strictObject({ effort: text.nullish(), format: format.nullish() }).nullish(),
  cache_control: ignored,
  context_management: acceptOnly(() => false, none),
  mcp_servers: acceptOnly(isNone, none),
};

/** `POST /v1/messages/count_tokens` */
export const countRequest = z.strictObject(promptFields, { error: "expected a JSON object with `messages`" });

export const messageRequest = z.strictObject(
  {
    ...promptFields,
    max_tokens: z.number({ error: "expected a whole number from 1" }).int().min(1).max(MAX_TOKENS),
    stop_sequences: z.array(text).nullish(),
    stream: flag,
    temperature: real(0, 100),
    top_p: real(0, 1),
    top_k: whole(-1, MAX_TOKENS),
    // Not Anthropic's: as in chats.
    cache_salt: text.nullish(),
    seed,
    metadata: ignored,
    service_tier: ignored,
    inference_geo: ignored,
    container: acceptOnly(() => false, none),
    // Refused in words that clients go on from (messages.ts).
    thread: z.looseObject({}, { error: none }).nullish(),
  },
  { error: "expected a JSON object with `messages` and `max_tokens`" },
);

export type CountRequest = z.infer<typeof countRequest>;
export type MessageRequest = CountRequest & Partial<z.infer<typeof messageRequest>>;

const joined = (said: string | readonly { readonly text: string }[] | null | undefined): string =>
  typeof said === "string" ? said : (said ?? []).map((one) => one.text).join("");

/** A message as messages of a chat: each result of a call is one of its own. */
function chatMessages({ role, content }: z.infer<typeof message>): Record<string, unknown>[] {
  if (typeof content === "string") return [{ role, content }];
  const messages: Record<string, unknown>[] = [];
  let said: Extract<Block, { type: "text" }>[] = [];
  const flush = (more: object = {}): void => {
    if (said.length > 0 || Object.keys(more).length > 0) messages.push({ role, content: joined(said), ...more });
    said = [];
  };
  const calls: object[] = [];
  let thought = "";
  for (const one of content) {
    if (one.type === "text") said.push(one);
    else if (one.type === "thinking") thought += one.thinking;
    else if (one.type === "tool_use") {
      const { id, name, input } = one;
      calls.push({ id, type: "function", function: { name, arguments: JSON.stringify(input) } });
    } else if (one.type === "tool_result") {
      flush();
      // Chat templates have no other way to say it.
      const content = `${one.is_error ? "Error: " : ""}${joined(one.content)}`;
      messages.push({ role: "tool", tool_call_id: one.tool_use_id, content });
    }
  }
  flush({ ...(thought !== "" && { reasoning_content: thought }), ...(calls.length > 0 && { tool_calls: calls }) });
  // One without anything to say is a turn still.
  return messages.length > 0 ? messages : [{ role, content: "" }];
}

/** Fields of the chat request, as they are called here. */
export const MESSAGES_NAMES: FieldNames = [
  [/^tools\.(\d+)\.function\.parameters/, "tools.$1.input_schema"],
  [/^tools\.(\d+)\.function/, "tools.$1"],
  [/^response_format(?:\.json_schema)?/, "output_config.format"],
  [/^reasoning_effort/, "output_config.effort"],
  [/^thinking_budget/, "thinking.budget_tokens"],
  [/^parallel_tool_calls/, "tool_choice.disable_parallel_tool_use"],
  [/^stop\b/, "stop_sequences"],
  [/^continue_final_message/, "messages"],
];

/** @throws ApiError 400 — what the chat request is refused for */
export function chatOfMessages(request: MessageRequest): ChatRequest {
  const { tools, tool_choice: choice, thinking, output_config: output } = request;
  const last = request.messages.at(-1)!;
  const said: NamedMessage[] = request.messages.flatMap((one, i) =>
    chatMessages(one).map((message) => ({ message, name: `messages.${i}` })),
  );
  if (request.system) said.unshift({ message: { role: "system", content: joined(request.system) }, name: "system" });
  const chat = {
    // What the assistant has begun to say goes on.
    continue_final_message: last.role === "assistant",
    model: request.model,
    max_tokens: request.max_tokens,
    stop: request.stop_sequences?.length ? request.stop_sequences : null,
    temperature: request.temperature,
    top_p: request.top_p,
    top_k: request.top_k,
    seed: request.seed,
    cache_salt: request.cache_salt,
    tools: tools?.map(({ name, description, input_schema: parameters }) => ({
      type: "function",
      function: { name, description, parameters },
    })),
    tool_choice: chatChoice(choice),
    parallel_tool_calls: choice && "disable_parallel_tool_use" in choice ? !choice.disable_parallel_tool_use : null,
    ...(thinking?.type === "enabled" && { enable_thinking: true, thinking_budget: thinking.budget_tokens }),
    ...(thinking?.type === "disabled" && { enable_thinking: false }),
    reasoning_effort: output?.effort,
    response_format: output?.format && { type: "json_schema", json_schema: { schema: output.format.schema } },
  };
  return checkedChat(said, chat, MESSAGES_NAMES);
}

function chatChoice(choice: CountRequest["tool_choice"]): object | string | null {
  if (!choice) return null;
  if (choice.type === "tool") return { type: "function", function: { name: choice.name } };
  return choice.type === "any" ? "required" : choice.type;
}
