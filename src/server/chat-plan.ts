/** @file What a chat request comes to: its prompt, what the answer is bound to, and how it is taken apart. */
import { type AnswerParser, plainAnswer } from "../chat/answer-parser.ts";
import { endsInside, marksOf, ReasoningParser, stopsInside } from "../chat/reasoning.ts";
import { forTemplate } from "../chat/tool-prompt.ts";
import { TOOL_FORMATS, toolFormatOf } from "../chat/tools/formats.ts";
import { harmony } from "../chat/tools/harmony.ts";
import type { LLM } from "../engine/llm.ts";
import type { TokenConstraint } from "../engine/token-constraint.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import { ApiError } from "./api-error.ts";
import { answerConstraint } from "./bound-answer.ts";
import type { Call } from "./call.ts";
import { encodePrompt, textWorkOf } from "./encode-text.ts";
import { templateMessages } from "./message-fields.ts";
import { type ReasoningWish, requestedReasoning } from "./reasoning-fields.ts";
import type { ChatRequest } from "./request-schema.ts";
import { requestedTools, type ToolWish } from "./tool-fields.ts";

export interface ChatPlan {
  readonly ids: readonly number[];
  /** To be released when the continuations have forks of it. */
  readonly constraint: TokenConstraint | null;
  /** Whether the parser needs special tokens in the text. */
  readonly keepsSpecialTokens: boolean;
  /** A parser for one answer. */
  createParser(): AnswerParser;
  /** Whether more than one call is told to the client. */
  readonly isParallel: boolean;
  readonly showsReasoning: boolean;
  createCallId(): string;
}

const createCallId = (): string => `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;

export async function planChat(call: Call, request: ChatRequest): Promise<ChatPlan> {
  const { toolFormat } = call.server;
  const { llm } = call.model;
  const template = llm.tokenizer.chatTemplate?.text ?? "";
  const format = TOOL_FORMATS.find(({ name }) => name === toolFormat) ?? toolFormatOf(template);
  const tools = requestedTools(request);
  const reasoning = requestedReasoning(request);
  const text = await promptText(call, request, { template, tools, reasoning });
  const hasChannels = format === harmony;
  const marks = hasChannels ? null : marksOf(template);
  const isInside = marks !== null && (endsInside(text, marks) || stopsInside(continuedText(request), marks));
  const isApart = reasoning.shown !== "within";
  return {
    ids: await encodePrompt(call, text, { addSpecialTokens: false }),
    constraint: await answerConstraint(request, llm, { format, tools, reasoning, marks, isInside, template }),
    keepsSpecialTokens: [
      ...(tools || hasChannels ? format.marks : []),
      ...(marks ? [marks.open, marks.close] : []),
    ].some((mark) => isSpecial(llm, mark)),
    createParser() {
      const rest = tools || hasChannels ? format.createParser(tools?.callable ?? []) : plainAnswer;
      return marks && isApart ? new ReasoningParser(marks, isInside, rest) : rest;
    },
    isParallel: tools?.isParallel ?? true,
    showsReasoning: reasoning.shown !== "hidden",
    createCallId: format.createId ?? createCallId,
  };
}

/** Whether a mark is a special token, which would be left out of the text. */
function isSpecial({ tokenizer }: LLM, mark: string): boolean {
  const id = tokenizer.tokenId(mark);
  return id !== undefined && tokenizer.isSpecial(id);
}

/** The prompt of a chat request as text. */
export function chatPrompt(call: Call, request: ChatRequest): Promise<string> {
  const template = call.model.llm.tokenizer.chatTemplate?.text ?? "";
  return promptText(call, request, {
    template,
    tools: requestedTools(request),
    reasoning: requestedReasoning(request),
  });
}

interface PromptParts {
  readonly template: string;
  readonly tools: ToolWish | null;
  readonly reasoning: ReasoningWish;
}

async function promptText(
  call: Call,
  request: ChatRequest,
  { template, tools, reasoning }: PromptParts,
): Promise<string> {
  const messages = forTemplate(template, templateMessages(request.messages), tools?.callable);
  const continues = request.continue_final_message === true;
  const last = messages.at(-1)!;
  if (continues && (last.role !== "assistant" || request.add_generation_prompt === true)) {
    const message =
      last.role === "assistant"
        ? "expected no add_generation_prompt, which begins another message"
        : `expected the last message to be the assistant's, got ${last.role}'s`;
    throw cannotContinue(message);
  }
  const options = {
    addGenerationPrompt: continues ? false : (request.add_generation_prompt ?? true),
    ...(tools && { tools: tools.shown }),
    variables: { ...reasoning.variables, ...request.chat_template_kwargs },
  };
  const shown = continues ? [...messages.slice(0, -1), marked(last)] : messages;
  const text = await textWorkOf(call).render(shown, options, call.signal);
  return continues ? cutAtMark(text) : text;
}

/** The message that is to go on; empty where a new one begins. */
function continuedText(request: ChatRequest): string {
  const last = request.continue_final_message === true ? templateMessages(request.messages.slice(-1))[0]?.content : "";
  return typeof last === "string" ? last : "";
}

/** Stands behind the last message while it is rendered, as its words may be found in what the template writes too. It is for private use. */
const END_MARK = "\u{10fffd}";

/** The blank tells whether the template trims what messages say. */
function marked(message: ChatMessage): ChatMessage {
  const { content } = message;
  return typeof content === "string" && content !== "" ? { ...message, content: `${content}${END_MARK} ` } : message;
}

/** The prompt up to the end of its last message, without what templates write behind it. */
function cutAtMark(text: string): string {
  const at = text.lastIndexOf(END_MARK);
  if (at < 0) throw cannotContinue("expected a last message with text that the template shows");
  const said = text.slice(0, at);
  return text[at + END_MARK.length] === " " ? said : said.trimEnd();
}

const cannotContinue = (message: string): ApiError =>
  new ApiError(400, `continue_final_message: ${message}`, { code: "invalid_value", param: "continue_final_message" });
