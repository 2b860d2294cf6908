/** @file Shows progress on stderr: one line that is redrawn on a terminal, occasional lines elsewhere. */
import { formatBytes, formatPace } from "../format-number.ts";
import type { ProgressEvent } from "../platform.ts";
import type { TextOutput } from "./io.ts";

/** Work that takes less than this shows no progress bar. */
const SHOW_AFTER_MS = 250;
const REDRAW_MS = 80;
/** Time between two lines when stderr is not a terminal. */
const LINE_EVERY_MS = 15_000;
const BAR_CELLS = 24;

const LABELS: Readonly<Record<ProgressEvent["phase"], string>> = {
  download: "download",
  load: "loading",
  compile: "compiling",
  calibrate: "calibrating",
  prefill: "prompt",
  eval: "evaluating",
};

export class Progress {
  readonly #out: TextOutput;
  readonly #quiet: boolean;
  #startedAt = 0;
  /** What was done when the phase began: of a download that goes on, more than nothing. */
  #startedWith = 0;
  #shownAt = 0;
  #what = "";
  #visible = false;

  constructor(out: TextOutput, quiet: boolean) {
    this.#out = out;
    this.#quiet = quiet;
  }

  /** A listener for the library's `onProgress`. */
  readonly onEvent = ({ phase, item, done, total, unit }: ProgressEvent): void => {
    // Without a terminal nobody waits for a line about seconds, and logs are not filled with the state of the network.
    if ((phase === "load" || phase === "download") && !this.#out.isTTY) return;
    const what = LABELS[phase];
    if (what !== this.#what) this.#startedWith = done;
    const amount =
      unit === "bytes"
        ? `${formatBytes(done)} of ${formatBytes(total)}${this.#pace(what, done, total)}`
        : `${done} of ${total} ${unit}`;
    const isAmountEnough = phase === "prefill" || phase === "compile" || phase === "load";
    // A file's name may be long: it comes last, where a narrow terminal cuts it.
    const named = phase === "download" ? `${amount}  ${item}` : `${item}  ${amount}`;
    this.update(what, done, total, isAmountEnough ? amount : named);
  };

  /** Rate and time left, once there is something to judge by. */
  #pace(what: string, done: number, total: number): string {
    if (what !== this.#what) return "";
    return formatPace(done, total, { ms: performance.now() - this.#startedAt, done: this.#startedWith });
  }

  /** `what` names the phase; a new name starts a new bar. */
  update(what: string, done: number, total: number, detail = `${done} of ${total}`): void {
    if (this.#quiet) return;
    const now = performance.now();
    if (what !== this.#what) {
      this.#what = what;
      this.#startedAt = now;
      this.#shownAt = this.#out.isTTY ? 0 : now;
    }
    if (!this.#out.isTTY) {
      if (now - this.#shownAt < LINE_EVERY_MS) return;
      this.#shownAt = now;
      this.#out.write(`${what}: ${detail}\n`);
      return;
    }
    if (now - this.#startedAt < SHOW_AFTER_MS || (now - this.#shownAt < REDRAW_MS && done < total)) return;
    this.#shownAt = now;
    this.#visible = true;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(share * BAR_CELLS);
    const bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
    const line = `${what} ${bar} ${Math.floor(share * 100)}%  ${detail}`;
    this.#out.write(`\r\x1b[2K${line.slice(0, this.#out.columns - 1)}`);
  }

  /** Removes the bar, so that other text can be printed. */
  clear(): void {
    if (this.#visible) this.#out.write("\r\x1b[2K");
    this.#visible = false;
    this.#what = "";
  }
}
