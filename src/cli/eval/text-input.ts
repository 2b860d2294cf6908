/** @file The text of an evaluation: the user's file, or one that the model writes itself. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { writeSelfText } from "../../eval/self-text.ts";
import { formatCount } from "../../format-number.ts";
import type { CommandContext } from "../context.ts";
import { wholeNumber } from "../options.ts";
import type { Progress } from "../progress.ts";

export interface TextFlags {
  readonly text?: string;
  readonly textSeed: number;
  readonly quiet?: boolean;
}

export interface EvalText {
  readonly text: string;
  /** Description of the text for rows and tables. */
  readonly source: string;
}

/** Adds `--text` and `--text-seed`. */
export function addTextOptions(
  command: Command,
  what = "plain text the model has not been trained on (default: a text it writes itself)",
): Command {
  return command
    .option("--text <file>", what)
    .option("--text-seed <n>", "seed of the text that the model writes without --text", wholeNumber(0, 2 ** 32 - 1), 0);
}

/** Reads `--text`; null without it. Called before the model is loaded, so that a wrong path is reported early. */
export async function readTextFile(path: string | undefined): Promise<EvalText | null> {
  if (path === undefined) return null;
  try {
    return { text: await readFile(path, "utf8"), source: basename(path) };
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--text ${path}: cannot be read (${(cause as NodeJS.ErrnoException).code}); check the path`,
      {},
      { cause },
    );
  }
}

/** The text that was read, or else at least `tokens` tokens that the model writes. */
export async function textOrOwn(
  read: EvalText | null,
  llm: LLM,
  tokens: number,
  flags: TextFlags,
  context: CommandContext,
  progress: Progress,
): Promise<EvalText> {
  if (read) return read;
  const seed = flags.textSeed;
  const text = await writeSelfText(llm, { tokens, seed, signal: context.signal, onProgress: progress.onEvent });
  progress.clear();
  if (!flags.quiet) {
    context.io.stderr.write(
      `note: no --text; the model wrote ${formatCount(tokens)} tokens itself (seed ${seed}), on which perplexity says little about the model\n`,
    );
  }
  return { text, source: `written by the model, seed ${seed}` };
}
