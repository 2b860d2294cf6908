/** @file Writes parts of sequences to the store in the background, as many as it takes: what does not fit the queue is not stored. */
import type { SharedPart } from "../../cache/shared-parts.ts";
import type { PageStore } from "./page-store.ts";
import type { StoreHealth } from "./store-health.ts";
import { encodeValue, VALUE_OVERHEAD } from "./stored-value.ts";
import { within } from "./time-limit.ts";

/** Jobs that are at work together. */
const WRITERS = 4;
/** Keys that are remembered as stored, so that nobody is asked for them. */
const KNOWN_KEYS = 1 << 16;
/** Keys whose value was none, which are written whether there is one or not. */
const DOUBTED_KEYS = 1 << 10;

export type WriteOutcome = "written" | "present" | "dropped" | "failed";

export interface WriteQueueOptions {
  readonly store: PageStore;
  readonly health: StoreHealth;
  readonly timeoutMs: number;
  readonly queueBytes: number;
  /** Called once for each part. bytes: of the value */
  readonly onWrite: (outcome: WriteOutcome, bytes: number) => void;
}

/** Parts of one sequence, by key. */
export type Parts = readonly (readonly [key: string, part: SharedPart])[];

/** Ends a job whose pages were given away, or whose store fails. */
const GIVEN_UP = new Error("given up");

interface Job {
  readonly parts: Parts;
  readonly numBytes: number;
  /** Gives the pages back that the parts are read from. */
  readonly release: () => void;
  holdsPages: boolean;
}

export class WriteQueue {
  readonly #options: WriteQueueOptions;
  readonly #waiting: Job[] = [];
  /** At work. */
  readonly #active = new Set<Job>();
  readonly #known = new Set<string>();
  readonly #doubted = new Set<string>();
  readonly #ending = new AbortController();
  #numBytes = 0;
  #onEmpty: (() => void)[] = [];

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  /** Bytes that wait or are being written. */
  get numBytes(): number {
    return this.#numBytes;
  }

  isKnown(key: string): boolean {
    return this.#known.has(key);
  }

  /** Remembers that a key is stored. */
  know(key: string): void {
    this.#known.delete(key);
    this.#known.add(key);
    if (this.#known.size <= KNOWN_KEYS) return;
    for (const oldest of this.#known) {
      this.#known.delete(oldest);
      return;
    }
  }

  /** Forgets that keys are stored: the store has lost one of them. Default: all */
  forget(keys?: Iterable<string>): void {
    if (!keys) this.#known.clear();
    else for (const key of keys) this.#known.delete(key);
  }

  /** Has a key written again, although the store may have something under it: it is not what it should be. */
  doubt(key: string): void {
    this.#known.delete(key);
    if (this.#doubted.size < DOUBTED_KEYS) this.#doubted.add(key);
  }

  /** Takes parts that the store may not have. hold: called if they are taken; retains their pages. returns what gives them back */
  add(parts: Parts, hold: () => { readonly parts: Parts; readonly release: () => void }): void {
    const numBytes = parts.reduce((sum, [, part]) => sum + part.numBytes + VALUE_OVERHEAD, 0);
    const { health, queueBytes } = this.#options;
    if (!health.isUp || this.#ending.signal.aborted || this.#numBytes + numBytes > queueBytes) {
      this.#tell("dropped", parts);
      return;
    }
    // A key is written once, however many requests pass it meanwhile.
    for (const [key] of parts) this.know(key);
    this.#numBytes += numBytes;
    this.#waiting.push({ ...hold(), numBytes, holdsPages: true });
    this.#start();
  }

  /** Gives up the pages of one job, because running requests need them. returns: false when none had any */
  drop(): boolean {
    const job = this.#waiting.pop() ?? [...this.#active].find(({ holdsPages }) => holdsPages);
    if (!job) return false;
    this.#giveBack(job);
    if (!this.#active.has(job)) {
      this.#tell("dropped", job.parts);
      this.forget(job.parts.map(([key]) => key));
      this.#end(job);
    }
    return true;
  }

  /** Resolves when everything that waits has been written or given up. */
  async flush(): Promise<void> {
    if (this.#numBytes > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** Gives up what is not written yet; no job holds pages then. */
  close(): void {
    this.#ending.abort(new Error("ended"));
    while (this.drop());
  }

  #start(): void {
    while (this.#active.size < WRITERS) {
      const job = this.#waiting.shift();
      if (!job) return;
      this.#active.add(job);
      void this.#write(job).then(() => {
        this.#giveBack(job);
        this.#active.delete(job);
        this.#end(job);
        this.#start();
      });
    }
  }

  async #write(job: Job): Promise<void> {
    const { store, health, timeoutMs } = this.#options;
    const { signal: ending } = this.#ending;
    let left = job.parts;
    try {
      if (!health.isUp) throw GIVEN_UP;
      const found = await within(timeoutMs, ending, (signal) =>
        store.has(
          left.map(([key]) => key),
          signal,
        ),
      );
      const are = left.map(([key], i) => found[i] && !this.#doubted.has(key));
      this.#tell(
        "present",
        left.filter((_, i) => are[i]),
      );
      left = left.filter((_, i) => !are[i]);
      const values: (readonly [string, Uint8Array])[] = [];
      for (const [key, part] of left) {
        if (!job.holdsPages) throw GIVEN_UP;
        values.push([key, encodeValue(key, await part.read())]);
      }
      // The pages may have been given away while they were read.
      if (!job.holdsPages) throw GIVEN_UP;
      this.#giveBack(job);
      for (const [key, value] of values) {
        if (!health.isUp) throw GIVEN_UP;
        await within(timeoutMs, ending, (signal) => store.put(key, value, signal));
        health.onSuccess();
        this.#doubted.delete(key);
        this.#tell("written", left.slice(0, 1));
        left = left.slice(1);
      }
    } catch (error) {
      const isFault = error !== GIVEN_UP && !ending.aborted;
      if (isFault) health.onFault(error);
      this.#tell(isFault ? "failed" : "dropped", left);
      this.forget(left.map(([key]) => key));
    }
  }

  #giveBack(job: Job): void {
    if (job.holdsPages) job.release();
    job.holdsPages = false;
  }

  #end(job: Job): void {
    this.#numBytes -= job.numBytes;
    if (this.#numBytes === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  #tell(outcome: WriteOutcome, parts: Parts): void {
    for (const [, part] of parts) this.#options.onWrite(outcome, part.numBytes + VALUE_OVERHEAD);
  }
}
