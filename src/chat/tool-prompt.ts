/** @file Tools for chat templates that know nothing of them: as instructions and as ordinary messages. */

import type { ChatMessage, ToolCall } from "../tokenizer/chat-template.ts";
import { areNone } from "../tokenizer/tool-arguments.ts";
import type { ToolFunction } from "./tools/tool-format.ts";

/** Whether a template puts tools and calls into the prompt itself. */
const knowsTools = (template: string): boolean => /\btools\b|tool_calls/.test(template);

/**
 * The conversation as a template can show it: for one that knows no tools they are described first, if there are any, and calls and
 * their results are written out.
 */
export function forTemplate(
  template: string,
  messages: readonly ChatMessage[],
  tools: readonly ToolFunction[] = [],
): readonly ChatMessage[] {
  if (knowsTools(template)) return messages;
  const plain = messages.map(plainMessage);
  if (tools.length === 0) return plain;
  const instructions = toolInstructions(tools);
  const [first, ...others] = plain;
  if (first?.role !== "system")
    return [{ role: "system", content: instructions }, ...(first ? [first] : []), ...others];
  return [{ ...first, content: `${textOf(first)}\n\n${instructions}` }, ...others];
}

function toolInstructions(tools: readonly ToolFunction[]): string {
  const list = tools.map(({ name, description, parameters }) => JSON.stringify({ name, description, parameters }));
  return [
    "You may call these functions:",
    ...list,
    'To call one, answer with nothing but JSON: {"name": "the function", "arguments": {"its": "arguments"}}',
    "For several calls write one object a line. Otherwise answer in words.",
  ].join("\n");
}

function plainMessage(message: ChatMessage): ChatMessage {
  if (message.role === "tool") return { role: "user", content: `Result of the call: ${textOf(message)}` };
  if (!message.tool_calls?.length) return message;
  const calls = message.tool_calls.map(callText).join("\n");
  const text = textOf(message);
  return { role: message.role, content: text === "" ? calls : `${text}\n${calls}` };
}

function callText({ function: { name, arguments: given } }: ToolCall): string {
  const text = areNone(given) ? "{}" : typeof given === "string" ? given : JSON.stringify(given);
  return `{"name": ${JSON.stringify(name)}, "arguments": ${text}}`;
}

const textOf = ({ content }: ChatMessage): string => (typeof content === "string" ? content : "");
