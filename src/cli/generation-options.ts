/** @file Options that control how text is generated. The library checks their values. */
import type { Command } from "commander";
import type { SamplingParams } from "../engine/sampling-params.ts";
import { collectText, realNumber, wholeNumber } from "./options.ts";

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

export function addGenerationOptions(command: Command, maxNewTokens: number): Command {
  return command
    .option("-n, --max-new-tokens <n>", "most tokens to generate", wholeNumber(1), maxNewTokens)
    .option("--temperature <t>", "0 is greedy (default: the model's)", realNumber)
    .option("--top-k <k>", "keep the k most likely tokens; 0 keeps all", wholeNumber(0))
    .option("--top-p <p>", "keep the most likely tokens that reach probability p", realNumber)
    .option("--min-p <p>", "drop tokens less likely than p times the most likely one", realNumber)
    .option("--repetition-penalty <x>", "divide logits of tokens already said; 1 is off", realNumber)
    .option("-s, --seed <n>", "of the random draws (default: 0)", wholeNumber(0, 2 ** 32 - 1))
    .option("--stop <text>", "end before this text; may be repeated", collectText);
}

export function samplingOf(flags: GenerationFlags): Partial<SamplingParams> {
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop } = flags;
  const options = { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
