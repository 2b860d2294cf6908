/** @file The parts of the process that a command uses, as an interface that tests can replace. */
import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

export interface TextOutput {
  write(text: string): void;
  readonly isTTY: boolean;
  readonly columns: number;
}

/**
 * What stdin is. `none`: the null device or another one, or it is closed. `socket`: what programs give to those that they start, often
 * without ever writing to it.
 */
export type StdinKind = "terminal" | "pipe" | "file" | "socket" | "none";

export interface CliIo {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdinKind: StdinKind;
  /** Terminal for line editing; absent unless stdout is one. */
  readonly terminal?: Writable;
  /** Calls `listener` at every Ctrl-C until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  /** Calls `listener` when the process is asked to end (SIGTERM), until the returned function is called. */
  onTerminate(listener: () => void): () => void;
  /** Ends the process at once, even while something is running. */
  exitNow(code: number): void;
}

function outputOf(stream: NodeJS.WriteStream): TextOutput {
  return {
    write: (text) => {
      stream.write(text);
    },
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns || 80;
    },
  };
}

function kindOfStdin(): StdinKind {
  if (process.stdin.isTTY) return "terminal";
  try {
    const info = fstatSync(0);
    return info.isFIFO() ? "pipe" : info.isFile() ? "file" : info.isSocket() ? "socket" : "none";
  } catch {
    return "none";
  }
}

export function processIo(): CliIo {
  return {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    stdin: process.stdin,
    stdinKind: kindOfStdin(),
    ...(process.stdout.isTTY && { terminal: process.stdout }),
    onInterrupt(listener) {
      process.on("SIGINT", listener);
      return () => process.off("SIGINT", listener);
    },
    onTerminate(listener) {
      process.on("SIGTERM", listener);
      return () => process.off("SIGTERM", listener);
    },
    exitNow: (code) => process.exit(code),
  };
}
