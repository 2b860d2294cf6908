/** @file What a caller may say about speculative decoding, with its checks and defaults. */
import type { Ops } from "../../backends/ops.ts";
import type { CacheParts } from "../../cache/cache-parts.ts";
import { TurboQuantError } from "../../errors.ts";
import { refuseUnknownOptions } from "../../known-options.ts";
import type { DraftSource } from "./draft-source.ts";
import { mostDrafts } from "./most-drafts.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import { Speculator } from "./speculator.ts";

/** Names are vLLM's, in our spelling. */
export interface SpeculateOptions {
  /** The most tokens that are drafted for a step, 1 to 64; default 8 by prompt lookup. */
  readonly numSpeculativeTokens?: number;
  /** Prompt lookup: the most tokens at the end that have to be the same further up, at least `promptLookupMin`; default 4. */
  readonly promptLookupMax?: number;
  /** Prompt lookup: the fewest of them, at least 1; default 2. */
  readonly promptLookupMin?: number;
  /** Makes a source of one's own in place of prompt lookup, for each continuation. */
  readonly createSource?: () => DraftSource;
}

/** `prompt-lookup` takes all defaults; `off` is as if nothing was said. */
export type Speculate = "off" | "prompt-lookup" | SpeculateOptions;

/** The values that are texts. */
export const SPECULATION_METHODS = ["off", "prompt-lookup"] as const;

const DEFAULTS = { numSpeculativeTokens: 8, promptLookupMax: 4, promptLookupMin: 2 };
/** A longer draft is hardly ever right to its end. */
const MOST_TOKENS = 64;

const OPTIONS: Readonly<Record<keyof SpeculateOptions, true> & Record<string, true | string>> = {
  numSpeculativeTokens: true,
  promptLookupMax: true,
  promptLookupMin: true,
  createSource: true,
  draftMax: "numSpeculativeTokens",
  numDraftTokens: "numSpeculativeTokens",
  promptLookupNumTokens: "numSpeculativeTokens",
  maxMatchingNgramSize: "promptLookupMax",
};

/** What is asked of the model that checks drafts, which is an `LLM`. */
export interface SpeculatedModel {
  readonly ops: Pick<Ops, "isRowInvariant">;
  readonly cache: CacheParts;
  readonly config: { readonly vocabSize: number };
}

/** Makes what drafts for one continuation. */
export type CreateSpeculator = () => Speculator;

/**
 * returns: null where nothing is to be drafted
 * @throws TurboQuantError invalid_argument — an unknown name, a value out of range
 */
export function parseSpeculation(speculate: Speculate | undefined, model: SpeculatedModel): CreateSpeculator | null {
  if (speculate === undefined || speculate === "off") return null;
  if (typeof speculate === "string" && speculate !== "prompt-lookup") {
    throw new TurboQuantError(
      "invalid_argument",
      `speculate: expected ${SPECULATION_METHODS.join(", ")} or an object of options, got ${JSON.stringify(speculate)}`,
    );
  }
  const options = typeof speculate === "string" ? {} : speculate;
  refuseUnknownOptions("speculate", options, OPTIONS);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const { numSpeculativeTokens, promptLookupMax: max, promptLookupMin: min } = { ...DEFAULTS, ...given };
  checkWhole("numSpeculativeTokens", numSpeculativeTokens, 1, MOST_TOKENS);
  checkWhole("promptLookupMin", min, 1, MOST_TOKENS);
  checkWhole("promptLookupMax", max, min, MOST_TOKENS);
  const { createSource = () => new PromptLookup({ max, min }) } = options;
  const mostTokens = Math.min(numSpeculativeTokens, mostDrafts(model.ops, model.cache));
  return () => new Speculator(createSource(), mostTokens, model.config.vocabSize);
}

function checkWhole(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw new TurboQuantError(
    "invalid_argument",
    `speculate: ${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(value) ?? String(value)}`,
    { name, value },
  );
}
