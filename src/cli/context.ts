/** @file What every command is given: streams of the process, the signal of Ctrl-C, progress. */
import type { Command } from "commander";
import type { CliIo } from "./io.ts";
import { Progress } from "./progress.ts";

/** Exit code of a mistake of the user. */
export const EXIT_USER = 2;
/** Exit code of what Ctrl-C ended. */
export const EXIT_INTERRUPTED = 130;

export interface CommandContext {
  readonly io: CliIo;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** Replaces the reaction to Ctrl-C, for commands that continue after it. */
  setInterrupt(listener: () => void): void;
  /** All commands with their options, loaded for it. */
  loadCommands(): Promise<readonly Command[]>;
  /** What Ctrl-C does otherwise: aborts the signal, and ends the process when that has been done before. */
  interrupt(): void;
  /** Sets the exit code of the command when its action returns. */
  setExitCode(code: number): void;
}

/** The command's progress display, silenced by `--quiet`. */
export function progressOf(context: CommandContext, flags: { readonly quiet?: boolean }): Progress {
  return new Progress(context.io.stderr, flags.quiet === true);
}
