/** @file Options for the choice of tokens, with their checks and defaults. */
import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import type { TokenConstraint } from "./token-constraint.ts";

export interface SamplingParams {
  /** The most tokens to generate, at least 1. */
  readonly maxNewTokens: number;
  /** The logits are divided by this, 0 to 100; 0 means greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of tokens whose probability reaches p, 0 to 1; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than minP times the most likely one, 0 to 1; 0 keeps all. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens that occurred already (CTRL, arXiv 1909.05858); 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted from a token's logit once for each time it was generated, not counting the prompt; −2 to 2, 0 is off. */
  readonly frequencyPenalty: number;
  /** Subtracted once from the logit of a token that was generated before; −2 to 2, 0 is off. */
  readonly presencePenalty: number;
  /** Added to the logits of single tokens before anything else: [token, −100 to 100]. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** Equal seeds give equal results; an integer below 2^32. */
  readonly seed: number;
  /** Texts that end the generation; they are not part of the output. */
  readonly stop: readonly string[];
  /** Number of most likely tokens to report with each token, at most 100. */
  readonly logprobs: number;
}

/** What a caller may specify about the choice of tokens. */
export interface SamplingOptions extends Partial<SamplingParams> {
  /** Continue after end-of-sequence tokens (benchmarks, golden tests). */
  readonly ignoreEos?: boolean;
  /** Tokens that end the answer besides those of the model, also where `ignoreEos` is set. */
  readonly stopTokens?: readonly number[];
  /** Tokens that end an answer are not drawn before it has this many, 0 to 2^31. */
  readonly minNewTokens?: number;
  /**
   * Tokens of the answer that were drawn before, where it goes on with another prompt: the seed's stream goes on behind them, and they count for
   * `minNewTokens` and the penalties.
   */
  readonly drawnBefore?: readonly number[];
  /** Whether special tokens are left out of the text; default true. */
  readonly skipSpecialTokens?: boolean;
  /** Decides which tokens may follow; every continuation gets a fork of it. */
  readonly constraint?: TokenConstraint | undefined;
  /** Whether pieces report the log-probability of their token. `logprobs` implies it. Default true. */
  readonly wantsLogprob?: boolean;
}

/** How the tokens of one continuation are chosen; all fields are checked and set. */
export interface SamplingConfig extends SamplingParams {
  readonly ignoreEos: boolean;
  readonly stopTokens: readonly number[];
  readonly minNewTokens: number;
  readonly drawnBefore: readonly number[];
  readonly skipSpecialTokens: boolean;
  readonly constraint: TokenConstraint | null;
  readonly wantsLogprob: boolean;
}

const DEFAULTS: SamplingConfig = {
  maxNewTokens: 256,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
  seed: 0,
  stop: [],
  logprobs: 0,
  ignoreEos: false,
  stopTokens: [],
  minNewTokens: 0,
  drawnBefore: [],
  skipSpecialTokens: true,
  constraint: null,
  wantsLogprob: true,
};

const NAMES = Object.keys(DEFAULTS);

/** Range of each number: lowest, highest, integers only. */
const RANGES: Readonly<
  Record<Exclude<keyof SamplingParams, "stop" | "logitBias"> | "minNewTokens", readonly [number, number, boolean]>
> = {
  maxNewTokens: [1, 2 ** 31, true],
  temperature: [0, 100, false],
  topK: [0, 2 ** 31, true],
  topP: [0, 1, false],
  minP: [0, 1, false],
  repetitionPenalty: [0.01, 100, false],
  frequencyPenalty: [-2, 2, false],
  presencePenalty: [-2, 2, false],
  seed: [0, 2 ** 32 - 1, true],
  logprobs: [0, 100, true],
  minNewTokens: [0, 2 ** 31, true],
};

/**
 * Checks a caller's options and fills in defaults; `undefined` counts as absent.
 *
 * options: may include options of other parts of the engine · defaults: of the model · others: names of those other options
 * @throws TurboQuantError invalid_argument — an unknown name, a wrong type, a value out of range
 */
export function parseSamplingConfig(
  options: SamplingOptions,
  defaults: Partial<SamplingParams> = {},
  others: Readonly<Record<string, unknown>> = {},
): SamplingConfig {
  const isOwn = ([name, value]: [string, unknown]): boolean => value !== undefined && !Object.hasOwn(others, name);
  const given = { ...defaults, ...Object.fromEntries(Object.entries(options).filter(isOwn)) };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw unknownName(name);
    if (name === "stop") checkStop(value);
    else if (name === "logitBias") checkBias(value);
    else if (name === "stopTokens" || name === "drawnBefore") checkTokens(name, value);
    else if (Object.hasOwn(RANGES, name)) checkNumber(name as keyof typeof RANGES, value);
  }
  return { ...DEFAULTS, ...given };
}

/** The config of the n-th continuation of a prompt, counted from 0: its own seed and constraint. */
export const nthConfig = (config: SamplingConfig, n: number): SamplingConfig => ({
  ...config,
  seed: (config.seed + n) % 2 ** 32,
  constraint: config.constraint?.fork() ?? null,
});

function unknownName(name: string): TurboQuantError {
  // Other APIs write top_p or max-new-tokens, so spellings are compared without separators first.
  const plain = (text: string): string => text.replace(/[_-]/g, "").toLowerCase();
  const hint = NAMES.find((known) => plain(known) === plain(name)) ?? closest(name, NAMES);
  return new TurboQuantError(
    "invalid_argument",
    `sampling: unknown option ${name}; ${hint ? `did you mean ${hint}?` : `choose from ${NAMES.join(", ")}`}`,
    { name },
  );
}

function checkNumber(name: keyof typeof RANGES, value: unknown): void {
  const [min, max, whole] = RANGES[name];
  const isInRange = typeof value === "number" && value >= min && value <= max;
  if (isInRange && (!whole || Number.isInteger(value))) return;
  throw new TurboQuantError(
    "invalid_argument",
    `sampling: ${name}: expected a ${whole ? "whole " : ""}number from ${min} to ${max}, got ${JSON.stringify(value) ?? String(value)}`,
    { name, value },
  );
}

function checkStop(value: unknown): void {
  if (Array.isArray(value) && value.every((text) => typeof text === "string" && text !== "")) return;
  throw new TurboQuantError(
    "invalid_argument",
    `sampling: stop: expected a list of non-empty strings, got ${JSON.stringify(value) ?? String(value)}`,
    { name: "stop", value },
  );
}

function checkTokens(name: string, value: unknown): void {
  if (Array.isArray(value) && value.every((token) => Number.isInteger(token) && token >= 0)) return;
  throw new TurboQuantError(
    "invalid_argument",
    `sampling: ${name}: expected a list of token ids, got ${JSON.stringify(value) ?? String(value)}`,
    { name, value },
  );
}

function checkBias(value: unknown): void {
  const isPair = (pair: unknown): boolean =>
    Array.isArray(pair) &&
    pair.length === 2 &&
    Number.isInteger(pair[0]) &&
    pair[0] >= 0 &&
    typeof pair[1] === "number" &&
    Math.abs(pair[1]) <= 100;
  if (Array.isArray(value) && value.every(isPair)) return;
  throw new TurboQuantError(
    "invalid_argument",
    `sampling: logitBias: expected pairs of a token and a number from -100 to 100, got ${JSON.stringify(value) ?? String(value)}`,
    { name: "logitBias", value },
  );
}
