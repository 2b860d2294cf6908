/** @file Reads what a user says: lines of standard input, on a terminal with editing, history, completion, and pastes of several lines. */
import { createInterface } from "node:readline";
import type { CliIo } from "../io.ts";

const PROMPT = "> ";
/** Before the further lines of a message. */
const CONTINUED = "… ";
/** Makes a terminal mark what is pasted, so that its line ends do not send it. */
const BRACKETED_PASTE = { on: "\x1b[?2004h", off: "\x1b[?2004l" };
/** Stands at the beginning and at the end of a message of several lines. */
const QUOTES = '"""';

export interface LineReaderOptions {
  /** Called at Ctrl-C, because line editing keeps a terminal from sending a signal. */
  readonly onInterrupt: () => void;
  /** What was said before, the latest first. */
  readonly history?: readonly string[];
  readonly onHistory?: (history: readonly string[]) => void;
  /** What may stand in place of the end of a line: the candidates, and the end that they replace. */
  readonly complete?: (line: string) => [string[], string];
}

interface Line {
  readonly text: string;
  /** Quotes and backslashes in it are part of the message. */
  readonly isPasted: boolean;
}

export class LineReader {
  readonly #messages: string[] = [];
  #waiting: ((message: string | null) => void) | null = null;
  #closed = false;
  readonly #interface: ReturnType<typeof createInterface>;
  readonly #terminal: CliIo["terminal"];
  #isPasting = false;
  /** Lines of a message whose end has not come. */
  readonly #lines: Line[] = [];

  constructor(io: CliIo, options: LineReaderOptions) {
    const { onInterrupt, history = [], onHistory, complete } = options;
    this.#terminal = io.stdin.isTTY ? io.terminal : undefined;
    this.#interface = createInterface({
      input: io.stdin,
      prompt: PROMPT,
      ...(this.#terminal
        ? {
            output: this.#terminal,
            terminal: true,
            history: [...history],
            historySize: 1000,
            removeHistoryDuplicates: true,
            ...(complete && { completer: complete }),
          }
        : { terminal: false }),
    });
    this.#interface.on("line", (line) => this.#take(line));
    this.#interface.on("close", () => {
      this.#terminal?.write(BRACKETED_PASTE.off);
      this.#closed = true;
      if (this.#lines.length > 0) this.#deliver(joined(this.#lines.splice(0)));
      if (this.#waiting) this.#deliver(null);
    });
    this.#interface.on("SIGINT", () => {
      this.#lines.length = 0;
      this.#interface.setPrompt(PROMPT);
      onInterrupt();
    });
    if (!this.#terminal) return;
    if (onHistory) this.#interface.on("history", onHistory);
    this.#terminal.write(BRACKETED_PASTE.on);
    // Behind the listener of the interface, which has taken the line before a paste ends.
    io.stdin.on("keypress", (_text, key?: { name?: string }) => {
      if (key?.name === "paste-start") this.#isPasting = true;
      if (key?.name === "paste-end") this.#isPasting = false;
    });
  }

  /**
   * The next message: a line, or several that were pasted together, stand between `"""`, or end in a backslash; null at the end of the
   * input and after `close`.
   */
  next(): Promise<string | null> {
    if (this.#terminal && !this.#closed) this.#interface.prompt();
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#interface.close();
  }

  #take(line: string): void {
    this.#lines.push({ text: line, isPasted: this.#isPasting });
    if (this.#isPasting || isOpen(this.#lines)) {
      this.#interface.setPrompt(CONTINUED);
      if (this.#terminal) this.#interface.prompt();
      return;
    }
    this.#interface.setPrompt(PROMPT);
    const message = joined(this.#lines.splice(0));
    if (this.#waiting) this.#deliver(message);
    else this.#messages.push(message);
  }

  #deliver(message: string | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting) waiting(message);
    else if (message !== null) this.#messages.push(message);
  }
}

const isQuoted = ([first]: readonly Line[]): boolean => !first!.isPasted && first!.text.trimStart().startsWith(QUOTES);
const isContinued = ({ text, isPasted }: Line): boolean => !isPasted && text.endsWith("\\");

/** Whether more lines belong to the message. */
function isOpen(lines: readonly Line[]): boolean {
  const last = lines.at(-1)!;
  if (!isQuoted(lines)) return isContinued(last);
  const text = lines.length === 1 ? last.text.trimStart().slice(QUOTES.length) : last.text;
  return !text.trimEnd().endsWith(QUOTES);
}

function joined(lines: readonly Line[]): string {
  if (!isQuoted(lines)) return lines.map((line) => (isContinued(line) ? line.text.slice(0, -1) : line.text)).join("\n");
  const text = lines
    .map((line) => line.text)
    .join("\n")
    .trim()
    .slice(QUOTES.length);
  return (text.endsWith(QUOTES) ? text.slice(0, -QUOTES.length) : text).replace(/^\n|\n$/g, "");
}
