/** @file How the next token is chosen, checked once. */
import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";

export interface SamplingParams {
  /** Most tokens to generate. */
  readonly maxNewTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of tokens whose probability reaches p; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than minP times the most likely one; 0 keeps all. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens already said (CTRL, arXiv 1909.05858); 1 is off. */
  readonly repetitionPenalty: number;
  readonly seed: number;
  /** Texts that end the generation and are not part of it. */
  readonly stop: readonly string[];
  /** Report this many most likely tokens with each token. */
  readonly logprobs: number;
}

const DEFAULTS: SamplingParams = {
  maxNewTokens: 256,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
  stop: [],
  logprobs: 0,
};

/** Range of each number: lowest, highest, whole numbers only. */
const RANGES: Readonly<Record<string, readonly [number, number, boolean]>> = {
  maxNewTokens: [1, 2 ** 31, true],
  temperature: [0, 100, false],
  topK: [0, 2 ** 31, true],
  topP: [0, 1, false],
  minP: [0, 1, false],
  repetitionPenalty: [0.01, 100, false],
  seed: [0, 2 ** 32 - 1, true],
  logprobs: [0, 100, true],
};

/** Fills in defaults. @throws TurboQuantError invalid_argument — an unknown name, a wrong type, a value out of range */
export function resolveSamplingParams(partial: Partial<SamplingParams>): SamplingParams {
  for (const [name, value] of Object.entries(partial)) {
    if (!(name in DEFAULTS)) {
      const hint = closest(name, Object.keys(DEFAULTS));
      throw new TurboQuantError("invalid_argument", `sampling: unknown option ${name}${hint ? `; did you mean ${hint}?` : ""}`, {
        name,
      });
    }
    const range = RANGES[name];
    if (!range || value === undefined) continue;
    const [min, max, whole] = range;
    if (typeof value !== "number" || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
      throw new TurboQuantError(
        "invalid_argument",
        `sampling: ${name}: expected a ${whole ? "whole " : ""}number from ${min} to ${max}, got ${String(value)}`,
        { name, value },
      );
    }
  }
  const stop = partial.stop ?? DEFAULTS.stop;
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string" || text === "")) {
    throw new TurboQuantError("invalid_argument", "sampling: stop: expected a list of non-empty strings");
  }
  const given = Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...given };
}
