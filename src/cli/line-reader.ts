/** @file Reads lines of standard input, on a terminal with editing and history. */
import { createInterface } from "node:readline";
import type { CliIo } from "./io.ts";

export class LineReader {
  readonly #lines: string[] = [];
  #waiting: ((line: string | null) => void) | null = null;
  #closed = false;
  readonly #interface: ReturnType<typeof createInterface>;
  readonly #isTerminal: boolean;

  /** onInterrupt: called at Ctrl-C, because line editing keeps a terminal from sending a signal */
  constructor(io: CliIo, onInterrupt: () => void) {
    this.#isTerminal = io.terminal !== undefined && io.stdin.isTTY === true;
    this.#interface = createInterface({
      input: io.stdin,
      ...(this.#isTerminal && io.terminal && { output: io.terminal }),
      terminal: this.#isTerminal,
      prompt: "> ",
    });
    this.#interface.on("line", (line) => {
      if (!this.#waiting) this.#lines.push(line);
      else this.#deliver(line);
    });
    this.#interface.on("close", () => {
      this.#closed = true;
      if (this.#waiting) this.#deliver(null);
    });
    this.#interface.on("SIGINT", onInterrupt);
  }

  /** The next line; null at the end of the input and after `close`. */
  next(): Promise<string | null> {
    if (this.#isTerminal && !this.#closed) this.#interface.prompt();
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#interface.close();
  }

  #deliver(line: string | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.(line);
  }
}
