/** @file A process for the command line in tests: what it prints is kept, what it reads is given. */
import { Readable } from "node:stream";
import type { CliIo, StdinKind, TextOutput } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/run-cli.ts";

export interface CapturedIo extends CliIo {
  readonly out: () => string;
  readonly err: () => string;
  /** Presses Ctrl-C. */
  interrupt(): void;
  /** Sends SIGTERM. */
  terminate(): void;
  readonly exits: number[];
}

export interface IoOptions {
  readonly stdin?: string | Readable;
  /** Default: none. */
  readonly stdinKind?: StdinKind;
  /** stdout and stderr are terminals. */
  readonly isTTY?: boolean;
  /** Called with everything written to stdout so far, after each write. */
  readonly onStdout?: (text: string, io: CapturedIo) => void;
  readonly onStderr?: (text: string, io: CapturedIo) => void;
}

export function captureIo({
  stdin = "",
  stdinKind = "none",
  isTTY = false,
  onStdout,
  onStderr,
}: IoOptions = {}): CapturedIo {
  const texts = { out: "", err: "" };
  const listeners = new Set<() => void>();
  const terminators = new Set<() => void>();
  const output = (name: "out" | "err", listener?: (text: string, io: CapturedIo) => void): TextOutput => ({
    isTTY,
    columns: 80,
    write(text) {
      texts[name] += text;
      listener?.(texts[name], io);
    },
  });
  const io: CapturedIo = {
    stdout: output("out", onStdout),
    stderr: output("err", onStderr),
    stdin: typeof stdin === "string" ? Readable.from(stdin === "" ? [] : [stdin]) : stdin,
    stdinKind,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onTerminate(listener) {
      terminators.add(listener);
      return () => terminators.delete(listener);
    },
    exits: [],
    exitNow: (code) => {
      io.exits.push(code);
    },
    out: () => texts.out,
    err: () => texts.err,
    interrupt() {
      for (const listener of listeners) listener();
    },
    terminate() {
      for (const listener of terminators) listener();
    },
  };
  return io;
}

/** Runs one command line to its end. */
export async function runCommand(argv: readonly string[], options: IoOptions = {}) {
  const io = captureIo(options);
  const code = await runCli(argv, io);
  return { code, out: io.out(), err: io.err(), io };
}
