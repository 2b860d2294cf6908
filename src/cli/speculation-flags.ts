/** @file Options of speculative decoding, and the draft model that they name. The library checks their values. */
import { type Command, Option } from "commander";
import type { LLM } from "../engine/llm.ts";
import { SPECULATION_METHODS, type SpeculateOptions } from "../engine/speculation/speculation-options.ts";
import { TurboQuantError } from "../errors.ts";
import { type CommandContext, progressOf } from "./context.ts";
import { loadModel } from "./load-model.ts";
import { type BackendFlags, backendOptionsOf, type ModelFlags, type OutputFlags, wholeNumber } from "./options.ts";
import { sharing } from "./shared-options.ts";

export interface SpeculationFlags {
  readonly spec: (typeof SPECULATION_METHODS)[number];
  readonly draftModel?: string;
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
      .option("--draft-model <ref>", "a smaller model with the same vocabulary drafts")
      .option("--draft-max <n>", "most drafted tokens of a step (default: 8; of a draft model 4)", wholeNumber(1, 64))
      .option("--prompt-lookup-max <n>", "most tokens that are looked for further up (default: 5)", wholeNumber(1, 64))
      .option("--prompt-lookup-min <n>", "fewest of them (default: 3)", wholeNumber(1, 64)),
);

/** What is said of drafts but for the model itself; null where there are none. */
export type SpeculationSettings = Omit<SpeculateOptions, "model"> | null;

/** @throws TurboQuantError invalid_argument — options of drafts where there are none, or two methods */
export function checkSpeculation(flags: SpeculationFlags): SpeculationSettings {
  const { spec, draftModel, draftMax: numSpeculativeTokens, promptLookupMax, promptLookupMin } = flags;
  const options = { numSpeculativeTokens, promptLookupMax, promptLookupMin };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  if (spec !== "off" && draftModel !== undefined) {
    throw new TurboQuantError(
      "invalid_argument",
      `--spec ${spec} and --draft-model are two methods; leave one of them out`,
    );
  }
  if (spec !== "off" || draftModel !== undefined) return given;
  if (Object.keys(given).length > 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "--draft-max, --prompt-lookup-max and --prompt-lookup-min say how tokens are drafted, and none are; add --spec prompt-lookup or --draft-model",
    );
  }
  return null;
}

/** The limits of memory that a draft model and the model that checks its drafts have in common. */
export type MemoryLimits = Pick<ModelFlags, "kvBudget" | "memory">;

/** What a draft model gets of each limit. Its keys and values are those of a small model, and take no small part of the large one's. */
const DRAFT_SHARE = 1 / 3;

/**
 * Loads the draft model, if one is named, before the model that checks its drafts, which has what is left of the limits.
 *
 * settings: of `checkSpeculation` · returns: what `speculate` is to be, absent where nothing is drafted; disposing of it disposes of the draft model
 * @throws TurboQuantError as `LLM.load`; out_of_memory — a draft model that needs more than its share
 */
export async function openSpeculation(
  settings: SpeculationSettings,
  flags: BackendFlags & OutputFlags & SpeculationFlags & MemoryLimits,
  context: CommandContext,
): Promise<
  { readonly options: { readonly speculate?: SpeculateOptions }; readonly limits: MemoryLimits } & AsyncDisposable
> {
  const { draftModel, quiet = false } = flags;
  const { model, limits } =
    settings === null || draftModel === undefined
      ? { model: null, limits: {} }
      : await loadDraftModel({ ...flags, model: draftModel, quiet, explain: false }, context);
  return {
    options: settings === null ? {} : { speculate: { ...settings, ...(model && { model }) } },
    limits,
    async [Symbol.asyncDispose]() {
      await model?.dispose();
    },
  };
}

/** returns: the model, and of the limits what it leaves */
async function loadDraftModel(
  flags: BackendFlags & OutputFlags & MemoryLimits & { readonly model: string; readonly quiet: boolean },
  context: CommandContext,
): Promise<{ readonly model: LLM; readonly limits: MemoryLimits }> {
  const { kvBudget, memory } = flags;
  const share = memory === undefined ? undefined : Math.floor(memory * DRAFT_SHARE);
  const budget = kvBudget === undefined ? undefined : Math.floor(Math.min(kvBudget, memory ?? kvBudget) * DRAFT_SHARE);
  let taken = share;
  const model = await loadModel(flags, context, progressOf(context, flags), {
    ...backendOptionsOf(flags),
    ...(budget !== undefined && { kvBudgetBytes: budget }),
    ...(share !== undefined && { memoryBytes: share }),
    onFit: ({ bytes }) => {
      if (Number.isFinite(bytes)) taken = bytes;
    },
  }).catch((error: unknown) => {
    if (share === undefined || !(error instanceof TurboQuantError && error.code === "out_of_memory")) throw error;
    throw new TurboQuantError(
      error.code,
      `--draft-model: of --memory it gets a third: ${error.message}`,
      error.detail,
      { cause: error },
    );
  });
  return {
    model,
    limits: {
      ...(kvBudget !== undefined && { kvBudget: kvBudget - budget! }),
      ...(memory !== undefined && { memory: memory - taken! }),
    },
  };
}
