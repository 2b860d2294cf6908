/** @file Shows progress on stderr: one line that is redrawn on a terminal, occasional lines elsewhere. */
import { formatBytes, formatDuration, formatPace } from "../format-number.ts";
import type { ProgressEvent } from "../platform.ts";
import type { TextOutput } from "./io.ts";

/** Work that takes less than this shows no progress bar. */
const SHOW_AFTER_MS = 250;
const REDRAW_MS = 80;
/** Time between two lines when stderr is not a terminal. */
const LINE_EVERY_MS = 15_000;
const BAR_CELLS = 24;
/** Work is watched for so long before it is said how long the rest takes. */
const JUDGE_AFTER_MS = 2000;

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
  #done = 0;
  /** What there is left at most (`ProgressEvent.secondsLeft`). */
  #most = Number.POSITIVE_INFINITY;
  #shownAt = 0;
  #what = "";
  #visible = false;

  constructor(out: TextOutput, quiet: boolean) {
    this.#out = out;
    this.#quiet = quiet;
  }

  /** A listener for the library's `onProgress`. */
  readonly onEvent = ({ phase, item, done, total, unit, secondsLeft }: ProgressEvent): void => {
    // Without a terminal nobody waits for a line about seconds, and logs are not filled with the state of the network.
    if ((phase === "load" || phase === "download") && !this.#out.isTTY) return;
    const what = LABELS[phase];
    const amount =
      unit === "bytes"
        ? `${formatBytes(done)} of ${formatBytes(total)}${this.#pace(what, done, total)}`
        : `${done} of ${total} ${unit}`;
    const isAmountEnough = phase === "prefill" || phase === "compile" || phase === "load";
    // A file's name may be long: it comes last, where a narrow terminal cuts it.
    const named = phase === "download" ? `${amount}  ${item}` : `${item}  ${amount}`;
    this.#most = secondsLeft ?? Number.POSITIVE_INFINITY;
    this.update(what, done, total, isAmountEnough ? amount : named, unit !== "bytes");
  };

  /** Rate and time left, once there is something to judge by. */
  #pace(what: string, done: number, total: number): string {
    if (what !== this.#what) return "";
    return formatPace(done, total, { ms: performance.now() - this.#startedAt, done: this.#startedWith });
  }

  /**
   * `what` names the phase; a new name, or less done than before, starts a new bar.
   *
   * saysTime: whether the time left is added here, and not part of `detail`
   */
  update(what: string, done: number, total: number, detail = `${done} of ${total}`, saysTime = true): void {
    if (this.#quiet) return;
    const now = performance.now();
    if (what !== this.#what || done < this.#done) {
      this.#startedAt = now;
      this.#startedWith = done;
      if (what !== this.#what) this.#shownAt = this.#out.isTTY ? 0 : now;
      this.#what = what;
    }
    this.#done = done;
    const left = saysTime ? this.#timeLeft(now, total) : "";
    if (!this.#out.isTTY) {
      if (now - this.#shownAt < LINE_EVERY_MS) return;
      this.#shownAt = now;
      this.#out.write(`${what}: ${left}${detail}\n`);
      return;
    }
    if (now - this.#startedAt < SHOW_AFTER_MS || (now - this.#shownAt < REDRAW_MS && done < total)) return;
    this.#shownAt = now;
    this.#visible = true;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const text = `${Math.floor(share * 100)}%  ${left}${detail}`;
    const room = this.#out.columns - 1;
    // A narrow terminal has a shorter bar, and then none, before anything is cut that is read.
    const cells = Math.min(BAR_CELLS, Math.max(0, room - what.length - text.length - 2));
    const filled = Math.round(share * cells);
    const bar = cells > 0 ? `${"█".repeat(filled)}${"░".repeat(cells - filled)} ` : "";
    this.#out.write(`\r\x1b[2K${`${what} ${bar}${text}`.slice(0, room)}`);
  }

  /** `2 min 5 s left`, before what a narrow terminal cuts; nothing where it is too early to tell. */
  #timeLeft(now: number, total: number): string {
    const [ms, done] = [now - this.#startedAt, this.#done - this.#startedWith];
    if (ms < JUDGE_AFTER_MS || done <= 0 || this.#done >= total) return "";
    const left = (((total - this.#done) / done) * ms) / 1000;
    return `${formatDuration(Math.min(this.#most, left))} left  `;
  }

  /** Removes the bar, so that other text can be printed. */
  clear(): void {
    if (this.#visible) this.#out.write("\r\x1b[2K");
    this.#visible = false;
    this.#what = "";
  }
}
