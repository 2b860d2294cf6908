/** @file How the next token is chosen, checked once. */
import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";

export interface SamplingParams {
  /** Most tokens to generate, at least 1. */
  readonly maxNewTokens: number;
  /** Divides the logits, 0 to 100; 0 is greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of tokens whose probability reaches p, 0 to 1; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than minP times the most likely one, 0 to 1; 0 keeps all. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens already said (CTRL, arXiv 1909.05858); 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted from a token's logit once for every time it was generated (not in the prompt), −2 to 2; 0 is off. */
  readonly frequencyPenalty: number;
  /** Subtracted once from the logit of a token that was generated before, −2 to 2; 0 is off. */
  readonly presencePenalty: number;
  /** Added to the logits of single tokens before everything else: [token, −100 to 100]. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** Equal seeds give equal draws; a whole number below 2^32. */
  readonly seed: number;
  /** Texts that end the generation and are not part of it. */
  readonly stop: readonly string[];
  /** Report this many most likely tokens with each token, at most 100. */
  readonly logprobs: number;
}

const DEFAULTS: SamplingParams = {
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
};

const NAMES = Object.keys(DEFAULTS);

/** Range of each number: lowest, highest, whole numbers only. */
const RANGES: Readonly<
  Record<Exclude<keyof SamplingParams, "stop" | "logitBias">, readonly [number, number, boolean]>
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
};

/**
 * Fills in defaults; `undefined` counts as not given.
 * @throws TurboQuantError invalid_argument — an unknown name, a wrong type, a value out of range
 */
export function resolveSamplingParams(partial: Partial<SamplingParams>): SamplingParams {
  const given = Object.entries(partial).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    if (!Object.hasOwn(DEFAULTS, name)) throw unknownName(name);
    if (name === "stop") checkStop(value);
    else if (name === "logitBias") checkBias(value);
    else checkNumber(name as keyof typeof RANGES, value);
  }
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}

/** Seed of the n-th continuation of one prompt, the first being 0. */
export const nthSeed = (seed: number, n: number): number => (seed + n) % 2 ** 32;

function unknownName(name: string): TurboQuantError {
  // Other APIs write top_p or max-new-tokens; that is nearer than any edit.
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
