/** @file What becomes of output that cannot be written. */
import type { EventEmitter } from "node:events";
import { reasonOf } from "./system-error.ts";

interface Outputs {
  readonly stdout: EventEmitter;
  readonly stderr: EventEmitter & { write(text: string): unknown };
  readonly exit: (code: number) => void;
}

/**
 * Ends the process where stdout fails: quietly when its reader has closed the pipe (`| head`), which is no error, and otherwise with a line
 * and `failed` as exit code. Notes on stderr that nobody can read are no reason to lose the result.
 */
export function watchOutputs({ stdout, stderr, exit }: Outputs, failed: number): void {
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return exit(0);
    stderr.write(`error: stdout: ${reasonOf(error)}\n`);
    exit(failed);
  });
  stderr.on("error", () => {});
}
