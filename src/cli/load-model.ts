/** @file Loads the model of a command: shows progress, prints what was done differently than asked, and the lines of `--explain`. */
import { LLM } from "../engine/llm.ts";
import type { LoadOptions } from "../engine/load-options.ts";
import type { CommandContext } from "./context.ts";
import { explain } from "./explain.ts";
import type { Progress } from "./progress.ts";

interface ModelFlags {
  readonly model: string;
  readonly quiet?: boolean;
  readonly explain?: boolean;
}

/**
 * The caller disposes of the model.
 * @throws TurboQuantError — as `LLM.load`
 */
export async function loadModel(
  flags: ModelFlags,
  context: CommandContext,
  progress: Progress,
  options: LoadOptions,
): Promise<LLM> {
  const { io, signal } = context;
  const llm = await LLM.load(flags.model, { ...options, onProgress: progress.onEvent, signal });
  progress.clear();
  if (!flags.quiet) for (const note of llm.notes) io.stderr.write(`${note}\n`);
  if (flags.explain) explain(llm, io.stderr);
  return llm;
}
