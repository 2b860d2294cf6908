/**
 * @file Fields that may have very many entries, checked in a loop of their own, which takes a hundredth of the time. Their `meta` is what the loop
 * checks, as JSON Schema.
 */
import { z } from "zod";

/** The most biases of a request. */
const MAX_BIASES = 16_384;
const TOKEN = /^(?:0|[1-9]\d*)$/;

const isToken = (value: unknown): boolean => typeof value === "number" && Number.isInteger(value) && value >= 0;

function checkTokens(tokens: readonly unknown[], context: z.RefinementCtx, path: readonly number[] = []): void {
  const wrong = tokens.findIndex((token) => !isToken(token));
  if (wrong < 0) return;
  context.addIssue({ code: "custom", path: [...path, wrong], message: "expected a token id, a whole number from 0" });
}

const TOKEN_LIST = { type: "array", items: { type: "integer", minimum: 0 } } as const;

/** A list of token ids. most: how many there may be */
export const tokenList = (most: number, message: string) =>
  z
    .custom<number[]>(Array.isArray, message)
    .superRefine((tokens, context) => {
      if (tokens.length > most) context.addIssue({ code: "custom", message: `expected at most ${most} token ids` });
      else checkTokens(tokens, context);
    })
    .meta({ ...TOKEN_LIST, maxItems: most });

type Prompt = string | number[] | string[] | number[][];

const PROMPT = "expected a text, a list of token ids, or a list of either";

export const promptField = z
  .custom<Prompt>((value) => typeof value === "string" || Array.isArray(value), PROMPT)
  .superRefine((prompt, context) => {
    if (typeof prompt === "string") return;
    const [first] = prompt as unknown[];
    if (typeof first === "number") checkTokens(prompt, context);
    else if (
      !prompt.every((one: unknown) => typeof one === typeof first && (typeof one === "string" || Array.isArray(one)))
    ) {
      context.addIssue({ code: "custom", message: PROMPT });
    } else if (Array.isArray(first))
      for (const [i, one] of prompt.entries()) checkTokens(one as unknown[], context, [i]);
  })
  .meta({
    description: PROMPT,
    anyOf: [
      { type: "string" },
      TOKEN_LIST,
      { type: "array", items: { type: "string" } },
      { type: "array", items: TOKEN_LIST },
    ],
  });

/** The prompts of a field. */
export function promptList(prompt: Prompt): readonly (string | readonly number[])[] {
  if (typeof prompt === "string") return [prompt];
  return prompt.length === 0 || typeof prompt[0] === "number"
    ? [prompt as number[]]
    : (prompt as string[] | number[][]);
}

const BIASES = "expected {token id: number from -100 to 100}";

export const biasField = z
  .custom<Record<string, number>>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    BIASES,
  )
  .superRefine((biases, context) => {
    const entries = Object.entries(biases);
    if (entries.length > MAX_BIASES) {
      context.addIssue({ code: "custom", message: `expected at most ${MAX_BIASES} tokens` });
      return;
    }
    for (const [token, bias] of entries as [string, unknown][]) {
      if (!TOKEN.test(token))
        context.addIssue({ code: "custom", path: [token.slice(0, 40)], message: "expected token ids as keys" });
      else if (typeof bias !== "number" || !(Math.abs(bias) <= 100)) {
        context.addIssue({ code: "custom", path: [token], message: "expected a number from -100 to 100" });
      }
    }
  })
  .meta({
    description: BIASES,
    type: "object",
    maxProperties: MAX_BIASES,
    propertyNames: { pattern: TOKEN.source },
    additionalProperties: { type: "number", minimum: -100, maximum: 100 },
  });
