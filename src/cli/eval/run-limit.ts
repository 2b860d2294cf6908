/** @file How evaluations on the command line end before everything is known: `--time`, and Ctrl-C. Both leave the figures so far. */
import type { Command } from "commander";
import { RunLimit } from "../../eval/time-limit.ts";
import { type CommandContext, EXIT_INTERRUPTED } from "../context.ts";
import { duration } from "../options.ts";
import type { StoreFlags } from "./entry-store.ts";

export interface LimitFlags extends StoreFlags {
  /** Milliseconds. */
  readonly time?: number;
}

/** Adds `--time`, `--no-cache` and `--clear-cache`. time: its default, in words */
export function addLimitOptions(command: Command, time = "none"): Command {
  const what = "end after so long (90s, 3m, 1h) with what is known, and how sure it is";
  return command
    .option("--time <time>", `${what} (default: ${time})`, duration)
    .option("--no-cache", "compute the exact cache's part anew, and keep nothing on disk for later runs")
    .option("--clear-cache", "first forget what earlier runs have kept on disk");
}

/**
 * The limit of a command that began `usedMs` ago. The first Ctrl-C ends it with what is known, or the command where nothing is; the
 * second one ends the command.
 */
export function limitOf(context: CommandContext, ms: number | undefined, usedMs = 0): RunLimit {
  const limit = new RunLimit(ms === undefined ? ms : Math.max(1, ms - usedMs));
  context.setInterrupt(() => {
    if (limit.isEnded || !limit.hasFigures) {
      context.interrupt();
      return;
    }
    limit.end();
    context.setExitCode(EXIT_INTERRUPTED);
  });
  return limit;
}
