/** @file What a caller may say about speculative decoding, with its checks and defaults. */
import type { Ops } from "../../backends/ops.ts";
import type { CacheParts } from "../../cache/cache-parts.ts";
import { TurboQuantError } from "../../errors.ts";
import { refuseUnknownOptions } from "../../known-options.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { checkSameVocabulary, type DraftingModel, DraftModel } from "./draft-model.ts";
import type { DraftSource } from "./draft-source.ts";
import { mostDrafts } from "./most-drafts.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import { Speculator } from "./speculator.ts";

/** Names are vLLM's, in our spelling. */
export interface SpeculateOptions {
  /** The most tokens that are drafted for a step, 1 to 64; default 8 by prompt lookup, 4 by a draft model. */
  readonly numSpeculativeTokens?: number;
  /** Prompt lookup: the most tokens at the end that have to be the same further up, at least `promptLookupMin`; default 5, or that if it is more. */
  readonly promptLookupMax?: number;
  /** Prompt lookup: the fewest of them, at least 1; default 3, or `promptLookupMax` if it is less. */
  readonly promptLookupMin?: number;
  /** A smaller model with the same vocabulary drafts, in place of prompt lookup: an `LLM`, for the caller to dispose of. */
  readonly model?: DraftingModel;
  /** Makes a source of one's own in place of prompt lookup, for each continuation. */
  readonly createSource?: () => DraftSource;
}

/** `prompt-lookup` takes all defaults; `off` is as if nothing was said. */
export type Speculate = "off" | "prompt-lookup" | SpeculateOptions;

/** The values that are texts. */
export const SPECULATION_METHODS = ["off", "prompt-lookup"] as const;

const DEFAULT_LOOKUP = { max: 5, min: 3 };
/** Most tokens of a draft, by prompt lookup and by a draft model, which takes a step of its own for each. */
const DEFAULT_TOKENS = { lookup: 8, model: 4 };
/** A longer draft is hardly ever right to its end. */
const MOST_TOKENS = 64;

const OPTIONS: Readonly<Record<keyof SpeculateOptions, true> & Record<string, true | string>> = {
  numSpeculativeTokens: true,
  promptLookupMax: true,
  promptLookupMin: true,
  model: true,
  createSource: true,
  draftModel: "model",
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
  readonly tokenizer: Tokenizer;
}

/** Drafts as they are asked for, checked. */
export interface Speculation {
  /** The draft model, whose cache is worth keeping from one answer to the next; null for sources that keep nothing. */
  readonly model: DraftingModel | null;
  createSource(): DraftSource;
  /** What drafts for one continuation. source: of `createSource`; default: a new one */
  createSpeculator(source?: DraftSource): Speculator;
}

/**
 * returns: null where nothing is to be drafted
 * @throws TurboQuantError invalid_argument — an unknown name, a value out of range, a draft model with another vocabulary
 */
export function parseSpeculation(speculate: Speculate | undefined, model: SpeculatedModel): Speculation | null {
  if (speculate === undefined || speculate === "off") return null;
  if (typeof speculate === "string" && speculate !== "prompt-lookup") {
    throw new TurboQuantError(
      "invalid_argument",
      `speculate: expected ${SPECULATION_METHODS.join(", ")} or an object of options, got ${JSON.stringify(speculate)}`,
    );
  }
  const options = typeof speculate === "string" ? {} : speculate;
  refuseUnknownOptions("speculate", options, OPTIONS);
  const { model: draft = null } = options;
  const {
    numSpeculativeTokens = draft ? DEFAULT_TOKENS.model : DEFAULT_TOKENS.lookup,
    // Where one of the two is given, the other is its default as far as they go together.
    promptLookupMax: max = Math.max(DEFAULT_LOOKUP.max, options.promptLookupMin ?? 0),
    promptLookupMin: min = Math.min(DEFAULT_LOOKUP.min, options.promptLookupMax ?? DEFAULT_LOOKUP.min),
  } = options;
  checkWhole("numSpeculativeTokens", numSpeculativeTokens, 1, MOST_TOKENS);
  checkWhole("promptLookupMin", min, 1, MOST_TOKENS);
  checkWhole("promptLookupMax", max, min, MOST_TOKENS);
  if (draft && options.createSource) {
    throw new TurboQuantError(
      "invalid_argument",
      "speculate: model and createSource are two sources; pass one of them",
    );
  }
  if (draft) checkSameVocabulary(model.tokenizer, draft);
  const { createSource = () => (draft ? new DraftModel(draft) : new PromptLookup({ max, min })) } = options;
  const mostTokens = Math.min(numSpeculativeTokens, mostDrafts(model.ops, model.cache, model.config.vocabSize));
  return {
    model: draft,
    createSource,
    createSpeculator: (source = createSource()) => new Speculator(source, mostTokens, model.config.vocabSize),
  };
}

function checkWhole(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw new TurboQuantError(
    "invalid_argument",
    `speculate: ${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(value) ?? String(value)}`,
    { name, value },
  );
}
