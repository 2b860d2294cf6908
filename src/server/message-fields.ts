/** @file Messages of a conversation as clients send them, those included that other providers answered. */
import { z } from "zod";
import type { ChatMessage, ToolCall } from "../tokenizer/chat-template.ts";
import { acceptOnly, ignored, text } from "./request-fields.ts";

const PART = 'expected a text, or a list of {type: "text", text}; images and audio are not supported';
const TEXT_PARTS = ["text", "input_text", "output_text"] as const;
const THOUGHT_PARTS = ["reasoning", "thinking"] as const;

/** Further fields of parts (`cache_control`, `annotations`, signatures of thoughts) do not change what they say. */
const contentPart = z.union([
  z.looseObject({ type: z.enum(TEXT_PARTS), text: z.string() }),
  z.looseObject({ type: z.literal("refusal"), refusal: z.string() }),
  z.looseObject({ type: z.enum(THOUGHT_PARTS), text: z.string().optional(), thinking: z.string().optional() }),
]);
type ContentPart = z.infer<typeof contentPart>;

const content = z.union([z.string(), z.array(contentPart)], { error: PART }).nullish();

const ROLES = ["system", "developer", "user", "assistant", "tool"] as const;

const functionCall = z.looseObject({ name: text, arguments: z.unknown().optional() });
const isNothing = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

const message = z.strictObject({
  role: z.enum(ROLES, { error: `expected one of ${ROLES.join(", ")}` }),
  content,
  name: text.nullish(),
  /** Names by which servers give what was thought. */
  reasoning_content: text.nullish(),
  reasoning: text.nullish(),
  tool_calls: z.array(z.looseObject({ id: text.nullish(), function: functionCall })).nullish(),
  tool_call_id: text.nullish(),
  /** The form of calls before there were tools. */
  function_call: functionCall.nullish(),
  refusal: ignored,
  // What answers have and prompts have no place for.
  annotations: ignored,
  reasoning_details: ignored,
  cache_control: ignored,
  provider_options: ignored,
  id: ignored,
  type: ignored,
  status: ignored,
  parsed: ignored,
  audio: acceptOnly(isNothing, "expected none: audio is not supported"),
  images: acceptOnly(isNothing, "expected none: images are not supported"),
});
type WireMessage = z.infer<typeof message>;

const MAX_MESSAGES = 8192;

/** A conversation whose messages are of a kind; how many there are is looked at first. */
export const listOfMessages = <T extends z.ZodType>(message: T) =>
  z
    .array(z.unknown(), { error: "expected a list of messages {role, content}" })
    .min(1, "expected at least one message")
    .max(MAX_MESSAGES, `expected at most ${MAX_MESSAGES} messages`)
    .pipe(z.array(message))
    .meta({ minItems: 1, maxItems: MAX_MESSAGES });

export const messages = listOfMessages(message);

const isThought = (part: ContentPart): boolean => (THOUGHT_PARTS as readonly string[]).includes(part.type);

function partText(part: ContentPart): string {
  if (part.type === "refusal") return (part as { refusal: string }).refusal;
  const { text, thinking } = part as { text?: string; thinking?: string };
  return text ?? thinking ?? "";
}

function callsOf({ tool_calls, function_call }: WireMessage): readonly ToolCall[] | null {
  if (tool_calls && tool_calls.length > 0) {
    return tool_calls.map((call) => ({ type: "function", ...call }) as ToolCall);
  }
  return function_call
    ? [{ type: "function", function: { name: function_call.name, arguments: function_call.arguments as string } }]
    : null;
}

/** Messages as chat templates expect them: contents become texts, and `developer` is the newer name of `system`. */
export function templateMessages(messages: readonly WireMessage[]): ChatMessage[] {
  return messages.map((own) => {
    const { role, content, name, tool_call_id } = own;
    const parts = Array.isArray(content) ? content : [];
    const said = Array.isArray(content)
      ? parts
          .filter((part) => !isThought(part))
          .map(partText)
          .join("")
      : (content ?? "");
    const thought = own.reasoning_content ?? own.reasoning ?? parts.filter(isThought).map(partText).join("");
    const calls = callsOf(own);
    return {
      role: role === "developer" ? "system" : role,
      content: said,
      ...(typeof name === "string" && { name }),
      ...(thought !== "" && { reasoning_content: thought }),
      ...(calls && { tool_calls: calls }),
      ...(typeof tool_call_id === "string" && { tool_call_id }),
    };
  });
}
