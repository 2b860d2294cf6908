/** @file llama.cpp's options that stretch a context, for commands that load a model. */
import { type Command, Option } from "commander";
import type { LoadOptions } from "../engine/load-options.ts";
import { TurboQuantError } from "../errors.ts";
import { realNumber, wholeNumber } from "./options.ts";
import { sharing } from "./shared-options.ts";

export interface RopeFlags {
  readonly ropeScaling?: "none" | "linear" | "yarn";
  readonly ropeScale?: number;
  readonly ropeFreqScale?: number;
  readonly ropeFreqBase?: number;
  readonly yarnOrigCtx?: number;
  readonly yarnAttnFactor?: number;
  readonly yarnBetaFast?: number;
  readonly yarnBetaSlow?: number;
}

/** For a command whose --ctx is its own, so that what stretches the context of others is not for it. */
export const addOwnRopeOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--rope-scaling <type>",
        "yarn or linear stretch the context to --ctx, or by --rope-scale; none: as trained",
      ).choices(["none", "linear", "yarn"]),
    )
    .option("--rope-scale <n>", "factor of the context", realNumber)
    .option("--rope-freq-base <theta>", "base of the rope's frequencies (default: the model's)", realNumber)
    .addOption(new Option("--rope-freq-scale <x>", "1 / --rope-scale").argParser(realNumber).hideHelp())
    .addOption(new Option("--yarn-orig-ctx <n>", "the length of training").argParser(wholeNumber(1)).hideHelp())
    .addOption(new Option("--yarn-attn-factor <x>", "factor on cos and sin").argParser(realNumber).hideHelp())
    .addOption(
      new Option("--yarn-beta-fast <x>", "rotations above which a pair stays").argParser(realNumber).hideHelp(),
    )
    .addOption(
      new Option("--yarn-beta-slow <x>", "rotations below which a pair is stretched").argParser(realNumber).hideHelp(),
    );

export const addRopeOptions = sharing(addOwnRopeOptions);

/** What the flags say of the rope, for `LLM.load`; nothing when they say nothing. */
export function ropeOptionOf(flags: RopeFlags): Pick<LoadOptions, "rope"> {
  const { ropeFreqScale } = flags;
  if (ropeFreqScale !== undefined && !(ropeFreqScale > 0 && ropeFreqScale <= 1)) {
    throw new TurboQuantError(
      "invalid_argument",
      `--rope-freq-scale: expected above 0 and up to 1, got ${ropeFreqScale}`,
    );
  }
  // llama.cpp's frequencies are multiplied by it; without a type of scaling that is linear.
  const linear = ropeFreqScale !== undefined && flags.ropeScaling === undefined ? ("linear" as const) : undefined;
  const named = {
    scaling: flags.ropeScaling ?? linear,
    scale: flags.ropeScale ?? (ropeFreqScale === undefined ? undefined : 1 / ropeFreqScale),
    freqBase: flags.ropeFreqBase,
    originalContext: flags.yarnOrigCtx,
    attentionFactor: flags.yarnAttnFactor,
    betaFast: flags.yarnBetaFast,
    betaSlow: flags.yarnBetaSlow,
  };
  const rope = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  return Object.keys(rope).length > 0 ? { rope } : {};
}
