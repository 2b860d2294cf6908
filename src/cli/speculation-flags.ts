/** @file Options of speculative decoding. The library checks their values. */
import { type Command, Option } from "commander";
import { SPECULATION_METHODS, type SpeculateOptions } from "../engine/speculation/speculation-options.ts";
import { TurboQuantError } from "../errors.ts";
import { wholeNumber } from "./options.ts";
import { sharing } from "./shared-options.ts";

export interface SpeculationFlags {
  readonly spec: (typeof SPECULATION_METHODS)[number];
  readonly draftMax?: number;
  readonly promptLookupMax?: number;
  readonly promptLookupMin?: number;
}

export const addSpeculationOptions = sharing(
  (command: Command): Command =>
    command
      .addOption(
        new Option("--spec <method>", "draft tokens and check several in one step; prompt-lookup: what a text repeats")
          .choices(SPECULATION_METHODS)
          .default("off"),
      )
      .option("--draft-max <n>", "with --spec: most drafted tokens of a step (default: 8)", wholeNumber(1, 64))
      .option("--prompt-lookup-max <n>", "most tokens that are looked for further up (default: 4)", wholeNumber(1, 64))
      .option("--prompt-lookup-min <n>", "fewest of them (default: 2)", wholeNumber(1, 64)),
);

/**
 * What `speculate` is to be; absent where it is off.
 * @throws TurboQuantError invalid_argument — options of drafts where there are none
 */
export function speculationOf(flags: SpeculationFlags): { readonly speculate?: SpeculateOptions } {
  const { spec, draftMax: numSpeculativeTokens, promptLookupMax, promptLookupMin } = flags;
  const options = { numSpeculativeTokens, promptLookupMax, promptLookupMin };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  if (spec !== "off") return { speculate: given };
  if (Object.keys(given).length > 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "--draft-max, --prompt-lookup-max and --prompt-lookup-min say how tokens are drafted, and none are; add --spec prompt-lookup",
    );
  }
  return {};
}
