/** @file What every command gets: the process, the signal of Ctrl-C, progress. */
import type { CliIo } from "./io.ts";
import { Progress } from "./progress.ts";

export interface CommandContext {
  readonly io: CliIo;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** Replaces what Ctrl-C does, for commands that go on after one. */
  setInterrupt(listener: () => void): void;
  /** Ends the command with this exit code once its action returns. */
  setExitCode(code: number): void;
}

/** A progress display that `--quiet` silences. */
export function progressOf(context: CommandContext, flags: { readonly quiet?: boolean }): Progress {
  return new Progress(context.io.stderr, flags.quiet === true);
}
