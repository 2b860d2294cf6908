/** @file The fields about thinking: whether, how hard, for how long, and whether the client is shown it. */
import { z } from "zod";
import { flag, ignored, whole } from "./request-fields.ts";

const MAX_TOKENS = 2 ** 31;
const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const;
const effort = z.enum(EFFORTS, { error: `expected one of ${EFFORTS.join(", ")}` }).nullish();
const FORMATS = ["auto", "none", "deepseek", "parsed", "raw", "hidden"] as const;

export const reasoningFields = {
  reasoning_effort: effort,
  reasoning: z
    .strictObject(
      { effort, enabled: flag, max_tokens: whole(0, MAX_TOKENS), exclude: flag, summary: ignored },
      { error: "expected {effort, max_tokens}" },
    )
    .nullish(),
  enable_thinking: flag,
  /** The most tokens of the thought, by the names that others have for it. */
  thinking_budget: whole(-1, MAX_TOKENS),
  thinking_token_budget: whole(-1, MAX_TOKENS),
  reasoning_budget: whole(-1, MAX_TOKENS),
  include_reasoning: flag,
  reasoning_format: z.enum(FORMATS, { error: `expected one of ${FORMATS.join(", ")}` }).nullish(),
};

type ReasoningRequest = { readonly [K in keyof typeof reasoningFields]?: z.infer<(typeof reasoningFields)[K]> };

export interface ReasoningWish {
  /** For chat templates, under the names that they have for it. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** Whether the model is to think; null where the request does not say. */
  readonly isEnabled: boolean | null;
  /** The most tokens of the thought; null for any number. */
  readonly budget: number | null;
  /** `apart` from the answer, within it as the model wrote it, or left out. */
  readonly shown: "apart" | "within" | "hidden";
}

/** What templates that know three degrees of effort are told. */
const DEGREES: Readonly<Record<string, string>> = { minimal: "low", xhigh: "high", max: "high" };

export function requestedReasoning(request: ReasoningRequest): ReasoningWish {
  const { reasoning } = request;
  const effort = request.reasoning_effort ?? reasoning?.effort ?? null;
  const isEnabled = request.enable_thinking ?? reasoning?.enabled ?? (effort === null ? null : effort !== "none");
  const budget =
    request.thinking_budget ?? request.thinking_token_budget ?? request.reasoning_budget ?? reasoning?.max_tokens ?? -1;
  const isHidden = request.include_reasoning === false || reasoning?.exclude || request.reasoning_format === "hidden";
  const isWithin = request.reasoning_format === "none" || request.reasoning_format === "raw";
  return {
    variables: {
      ...(effort !== null && effort !== "none" && { reasoning_effort: DEGREES[effort] ?? effort }),
      ...(isEnabled !== null && { enable_thinking: isEnabled, thinking: isEnabled }),
    },
    isEnabled,
    budget: budget >= 0 ? budget : null,
    shown: isHidden ? "hidden" : isWithin ? "within" : "apart",
  };
}
