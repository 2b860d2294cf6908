/** @file Waiting of a command that serves until it is told to end. */
import type { CommandContext } from "./context.ts";

/** Resolves at Ctrl-C or SIGTERM. */
export function untilStopped({ io, signal }: Pick<CommandContext, "io" | "signal">) {
  let removeListener = (): void => {};
  const promise = new Promise<"SIGINT" | "SIGTERM">((resolve) => {
    if (signal.aborted) resolve("SIGINT");
    signal.addEventListener("abort", () => resolve("SIGINT"), { once: true });
    removeListener = io.onTerminate(() => resolve("SIGTERM"));
  });
  return { promise, removeListener };
}
