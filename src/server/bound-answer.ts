/** @file Makes the constraint that a request asks for: of a schema or a grammar, of calls that have to be made, of a thought's length. */
import { compactSchema } from "../chat/json-schema.ts";
import type { ReasoningMarks } from "../chat/reasoning.ts";
import { larkJson } from "../chat/tools/call-schema.ts";
import { harmony, harmonyAnswer } from "../chat/tools/harmony.ts";
import type { ToolFormat } from "../chat/tools/tool-format.ts";
import { ReasoningConstraint } from "../engine/grammar/reasoning-constraint.ts";
import type { LLM } from "../engine/llm.ts";
import type { TokenConstraint } from "../engine/token-constraint.ts";
import { TurboQuantError } from "../errors.ts";
import { ApiError } from "./api-error.ts";
import type { ReasoningWish } from "./reasoning-fields.ts";
import { type RequestedGrammar, requestedGrammar, type StructuredRequest } from "./structured-fields.ts";
import type { ToolWish } from "./tool-fields.ts";

/** @throws ApiError 400 — a grammar that is wrong, or that cannot be enforced, with the field it is from */
export async function constraintOf(llm: LLM, { grammar, field }: RequestedGrammar): Promise<TokenConstraint> {
  try {
    return await llm.grammars.constraint(grammar, field);
  } catch (error) {
    if (!(error instanceof TurboQuantError) || error.code === "unavailable") throw error;
    throw new ApiError(400, error.message, { code: error.code, param: field.split(".")[0]! });
  }
}

export interface AnswerParts {
  readonly template: string;
  readonly format: ToolFormat;
  readonly tools: ToolWish | null;
  readonly reasoning: ReasoningWish;
  /** null for models that do not think between marks. */
  readonly marks: ReasoningMarks | null;
  /** Whether the prompt ends inside of a thought. */
  readonly isInside: boolean;
}

/**
 * What the answer of a chat is bound to; null for nothing.
 * @throws ApiError as `constraintOf`
 */
export async function answerConstraint(
  request: StructuredRequest,
  llm: LLM,
  parts: AnswerParts,
): Promise<TokenConstraint | null> {
  const { tokenizer } = llm;
  const { marks, isInside } = parts;
  const bound = boundGrammar(request, llm, parts);
  const answer = bound ? await constraintOf(llm, bound) : null;
  const budget = thinkingBudget(parts);
  const [open, close] = marks ? [tokenizer.tokenId(marks.open), tokenizer.tokenId(marks.close)] : [];
  if (open === undefined || close === undefined || (answer === null && budget === null)) return answer;
  return new ReasoningConstraint({
    open,
    close,
    isInside,
    ends: llm.eosTokens,
    ...(budget !== null && { budget }),
    ...(answer && { answer }),
  });
}

/** A template that cannot be told not to think leaves it to the budget. */
function thinkingBudget({ reasoning, template }: AnswerParts): number | null {
  if (reasoning.isEnabled === false && !/\b(?:enable_)?thinking\b/.test(template)) return 0;
  return reasoning.budget;
}

/** One grammar for all that an answer may be: what a field asks for, calls, or one of both. */
function boundGrammar(
  request: StructuredRequest,
  { tokenizer }: LLM,
  { format, tools }: AnswerParts,
): RequestedGrammar | null {
  const wanted = requestedGrammar(request);
  const hasChannels = format === harmony;
  const callGrammar = (wish: ToolWish): string =>
    format.grammar({ tools: wish.callable, isParallel: wish.isParallel, tokens: tokenizer });
  if (tools?.isRequired) return { grammar: { grammar: callGrammar(tools) }, field: "tools" };
  if (!wanted || (!tools && !hasChannels)) return wanted;
  const { field } = wanted;
  const body = larkOf(wanted);
  const answer = hasChannels ? harmonyAnswer(body, tokenizer) : `start: ${body}`;
  if (!tools) return { grammar: { grammar: answer }, field };
  const rules = [callGrammar(tools).replace("start:", "calls:"), answer.replace("start:", "answer:")];
  return { grammar: { grammar: `start: calls | answer\n${rules.join("\n")}` }, field };
}

/** A grammar as a part of another one. */
function larkOf({ grammar, field }: RequestedGrammar): string {
  if ("schema" in grammar && grammar.schema !== false) {
    return larkJson(grammar.schema === true ? {} : compactSchema(grammar.schema));
  }
  if ("choices" in grammar) return grammar.choices.map((text) => JSON.stringify(text)).join(" | ");
  throw new ApiError(
    400,
    `${field}: it cannot be combined with tools, or with this model's channels; bind the answer to a JSON Schema`,
    { code: "unsupported", param: field },
  );
}
