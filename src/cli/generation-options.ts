/** @file Options that control how text is generated. The library checks their values. */
import { type Command, InvalidArgumentError } from "commander";
import type { SamplingParams } from "../engine/sampling-params.ts";
import { collectText, realNumber, wholeNumber } from "./options.ts";
import { sharing } from "./shared-options.ts";

export interface GenerationFlags {
  readonly maxNewTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
}

/** As many tokens as the context holds: more than any. */
export const UNLIMITED_TOKENS = 2 ** 31;

/** A number of tokens; -1 is as many as the context holds, as in llama.cpp. */
function tokenLimit(text: string): number {
  if (text === "-1") return UNLIMITED_TOKENS;
  if (/^[1-9]\d*$/.test(text) && Number(text) <= UNLIMITED_TOKENS) return Number(text);
  throw new InvalidArgumentError("Expected a whole number of at least 1, or -1 for as many as the context holds.");
}

export const addGenerationOptions = sharing(
  (command: Command, maxNewTokens: number): Command =>
    command
      .option(
        "-n, --max-new-tokens <n>",
        "most tokens to generate; -1: what the context holds",
        tokenLimit,
        maxNewTokens,
      )
      .option("--temperature <t>", "0 is greedy (default: the model's)", realNumber)
      .option("--top-k <k>", "keep the k most likely tokens; 0 keeps all", wholeNumber(0))
      .option("--top-p <p>", "keep the most likely tokens that reach probability p", realNumber)
      .option("--min-p <p>", "drop tokens less likely than p times the most likely one", realNumber)
      .option("--repetition-penalty <x>", "divide logits of tokens already said; 1 is off", realNumber)
      .option("-s, --seed <n>", "of the random draws (default: 0)", wholeNumber(0, 2 ** 32 - 1))
      .option("--stop <text>", "end before this text; may be repeated", collectText),
  256,
);

export function samplingOf(flags: GenerationFlags): Partial<SamplingParams> {
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop } = flags;
  const options = { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
