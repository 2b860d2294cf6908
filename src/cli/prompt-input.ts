/** @file The prompt of `turboquant run`: of the command line, a file, or standard input. */
import { readFile } from "node:fs/promises";
import { TurboQuantError } from "../errors.ts";
import { formatCount } from "../format-number.ts";
import type { CommandContext } from "./context.ts";
import { DEFAULT_PROMPT } from "./default-prompt.ts";
import { readAll } from "./read-stdin.ts";
import { reasonOf } from "./system-error.ts";

export interface PromptFlags {
  readonly file?: string;
  readonly prompt?: string;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export interface PromptInput {
  readonly prompt: string;
  /** Whether nothing was given. */
  readonly isDefault: boolean;
}

/**
 * What a pipe or a redirected file brings is the prompt, or stands behind a prompt that was given as well. Sockets are read only where
 * there is no other prompt: programs hand one to each that they start, and need not write to it.
 *
 * @throws TurboQuantError invalid_argument — two prompts, an empty one, or a file that cannot be read
 */
export async function readPrompt(
  words: readonly string[],
  flags: PromptFlags,
  context: CommandContext,
): Promise<PromptInput> {
  const typed = words.length > 0 ? words.join(" ") : flags.prompt;
  const sources = [
    words.length > 0 && "a prompt",
    flags.prompt !== undefined && "--prompt",
    flags.file !== undefined && "--file",
  ].filter((source) => source !== false);
  if (sources.length > 1) {
    throw new TurboQuantError("invalid_argument", `run: got ${sources.join(" and ")}; pass one of them`);
  }
  if (flags.file === "-" || typed === "-") return given(await fromStdin(context, flags), "stdin");
  if (flags.file !== undefined) return given(await fromFile(flags.file), `--file ${flags.file}`);
  const { stdinKind } = context.io;
  const isRead = stdinKind === "pipe" || stdinKind === "file" || (stdinKind === "socket" && typed === undefined);
  const piped = isRead ? await fromStdin(context, flags) : "";
  if (piped.trim() === "") {
    return typed === undefined ? { prompt: DEFAULT_PROMPT, isDefault: true } : given(typed, "the prompt");
  }
  if (typed === undefined) return given(piped, "stdin");
  if (!flags.quiet && !flags.json) {
    context.io.stderr.write(
      `prompt: ${formatCount(piped.length)} characters of stdin stand behind it; < /dev/null leaves them out\n`,
    );
  }
  return given(`${typed}\n\n${piped}`, "the prompt");
}

function given(prompt: string, what: string): PromptInput {
  if (prompt.trim() !== "") return { prompt, isDefault: false };
  throw new TurboQuantError("invalid_argument", `run: ${what} is empty; say something, or leave it out for an example`);
}

function fromStdin({ io }: CommandContext, { quiet }: PromptFlags): Promise<string> {
  return readAll(io, () => {
    if (!quiet) io.stderr.write("waiting for the prompt on stdin; Ctrl-D ends it, < /dev/null is none\n");
  });
}

async function fromFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--file ${path}: cannot be read: ${reasonOf(cause)}; check the path`,
      {},
      { cause },
    );
  }
}
