/**
 * @file Threads that render templates and encode texts. What a checkpoint's template or expressions do without end, or with memory without
 * end, is ended with the thread that does it, and the one request that it was for is refused.
 */
import type { Worker } from "node:worker_threads";
import { type ErrorCode, TurboQuantError } from "../errors.ts";
import { startModuleThread } from "../node/module-thread.ts";
import { ApiError, shuttingDown } from "../server/api-error.ts";
import type { TextTask, TextWork } from "../server/text-work.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer-files.ts";

export type TextResult =
  | "ready"
  | { readonly value: unknown }
  | { readonly code: ErrorCode; readonly message: string; readonly detail: Readonly<Record<string, unknown>> };

export interface TextThreadsOptions {
  /** Called for each thread. */
  readonly files: () => Promise<TokenizerFiles>;
  /** Longest time of one task. */
  readonly limitMs?: number;
  /** Most memory of one thread. */
  readonly limitMegabytes?: number;
  /** Most texts that may wait. */
  readonly maxWaiting?: number;
  /** Most characters of texts that wait; one alone may have more. */
  readonly maxWaitingCharacters?: number;
}

/** A template alone may take two seconds, and a text of the longest context about as long. */
const LIMIT_MS = 20_000;
const LIMIT_MEGABYTES = 1024;
const START_LIMIT_MS = 120_000;
/** A second thread works beside one that has been busy for so long. */
const PATIENCE_MS = 100;
const MAX_THREADS = 2;
/** A thread beside another one ends when it has had nothing to do for so long, and gives its memory back. */
const IDLE_MS = 60_000;
const MAX_WAITING = 1024;
/** Four bodies of the usual greatest length. */
const MAX_WAITING_CHARACTERS = 64 << 20;

interface Job {
  readonly task: TextTask;
  readonly characters: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  isReady: boolean;
  job: Job | null;
  /** Until it has to be ready, or its task done, or until it is idle for too long. */
  timer: NodeJS.Timeout;
}

export class TextThreads implements TextWork {
  readonly #options: TextThreadsOptions;
  readonly #waiting = new Set<Job>();
  readonly #threads = new Set<Thread>();
  #starting = 0;
  #patience: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** The first thread is started at once. */
  constructor(options: TextThreadsOptions) {
    this.#options = options;
    this.#start();
  }

  /** Threads that do what they are given, or wait for it. */
  get numReady(): number {
    return [...this.#threads].filter(({ isReady }) => isReady).length;
  }

  encode(
    text: string,
    options: Extract<TextTask, { kind: "encode" }>["options"],
    signal?: AbortSignal,
  ): Promise<number[]> {
    return this.#do({ kind: "encode", text, options }, signal);
  }

  render(
    messages: Extract<TextTask, { kind: "render" }>["messages"],
    options: Extract<TextTask, { kind: "render" }>["options"],
    signal?: AbortSignal,
  ): Promise<string> {
    return this.#do({ kind: "render", messages, options }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#patience);
    const error = shuttingDown();
    this.#rejectWaiting(error);
    await Promise.all(
      [...this.#threads].map((thread) => {
        thread.job?.reject(error);
        return this.#end(thread);
      }),
    );
  }

  /** A task that is not wanted any more leaves the queue. A thread that is at it goes on, as to start another one takes longer than most tasks. */
  #do<T>(task: TextTask, signal: AbortSignal | undefined): Promise<T> {
    let leave = (): void => {};
    return new Promise<T>((resolve, reject) => {
      signal?.throwIfAborted();
      const job = { task, characters: charactersOf(task), resolve, reject };
      this.#checkRoom(job.characters);
      leave = () => {
        this.#waiting.delete(job);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.add(job);
      this.#next();
    }).finally(() => signal?.removeEventListener("abort", leave));
  }

  #checkRoom(characters: number): void {
    const { maxWaiting = MAX_WAITING, maxWaitingCharacters = MAX_WAITING_CHARACTERS } = this.#options;
    if (this.#isClosed) throw shuttingDown();
    let waiting = characters;
    for (const job of this.#waiting) waiting += job.characters;
    const { size } = this.#waiting;
    if (size < maxWaiting && (size === 0 || waiting <= maxWaitingCharacters)) return;
    throw new TurboQuantError("unavailable", `busy: ${size} texts are waiting to be read; try again later`, {
      reason: "queue",
    });
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (!thread.isReady || thread.job !== null) continue;
      const [job] = this.#waiting;
      if (!job) return;
      this.#waiting.delete(job);
      this.#give(thread, job);
    }
    if (this.#waiting.size === 0) return;
    if (this.#threads.size + this.#starting === 0) this.#start();
    else if (this.#threads.size + this.#starting < MAX_THREADS) {
      this.#patience ??= setTimeout(() => {
        this.#patience = undefined;
        if (this.#waiting.size > 0 && this.#threads.size + this.#starting < MAX_THREADS) this.#start();
      }, PATIENCE_MS);
    }
  }

  #give(thread: Thread, job: Job): void {
    const { limitMs = LIMIT_MS } = this.#options;
    thread.job = job;
    clearTimeout(thread.timer);
    thread.timer = setTimeout(() => {
      this.#fail(thread, tooMuch(job, `longer than ${limitMs / 1000} s`));
    }, limitMs);
    thread.worker.postMessage(job.task);
  }

  #start(): void {
    this.#starting++;
    void this.#options.files().then(
      (files) => {
        this.#starting--;
        if (!this.#isClosed) this.#run(files);
      },
      (error: unknown) => {
        this.#starting--;
        this.#refuseWaiting(error);
      },
    );
  }

  #run(files: TokenizerFiles): void {
    const { limitMegabytes = LIMIT_MEGABYTES } = this.#options;
    const worker = startModuleThread(import.meta.url, "text-thread", {
      workerData: files,
      resourceLimits: { maxOldGenerationSizeMb: limitMegabytes },
    });
    worker.unref();
    const late = (): void => this.#fail(thread, new Error("the thread for texts did not start in time"));
    const thread: Thread = { worker, isReady: false, job: null, timer: setTimeout(late, START_LIMIT_MS) };
    this.#threads.add(thread);
    worker.on("message", (result: TextResult) => this.#onResult(thread, result));
    worker.once("error", (error: NodeJS.ErrnoException) => {
      const isFull = error.code === "ERR_WORKER_OUT_OF_MEMORY";
      this.#fail(thread, isFull && thread.job ? tooMuch(thread.job, `more than ${limitMegabytes} MiB`) : error);
    });
  }

  #onResult(thread: Thread, result: TextResult): void {
    clearTimeout(thread.timer);
    const { job } = thread;
    thread.job = null;
    if (result === "ready") thread.isReady = true;
    else if ("value" in result) job?.resolve(result.value as never);
    else job?.reject(new TurboQuantError(result.code, result.message, result.detail));
    thread.timer = setTimeout(() => {
      if (this.#threads.size > 1) void this.#end(thread);
    }, IDLE_MS).unref();
    this.#next();
  }

  /** Ends a thread; its task fails, and where it never got as far as one, all that wait for it. */
  #fail(thread: Thread, error: unknown): void {
    if (!this.#threads.has(thread)) return;
    const { job, isReady } = thread;
    void this.#end(thread);
    if (job) job.reject(error);
    else if (!isReady) this.#refuseWaiting(error);
    this.#next();
  }

  #refuseWaiting(error: unknown): void {
    if (this.numReady === 0) this.#rejectWaiting(error);
  }

  #rejectWaiting(error: unknown): void {
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  async #end(thread: Thread): Promise<void> {
    this.#threads.delete(thread);
    clearTimeout(thread.timer);
    await thread.worker.terminate();
  }
}

/** Characters of all texts of a value. */
function charactersOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce<number>((sum, part) => sum + charactersOf(part), 0);
}

function tooMuch({ task }: Job, howMuch: string): ApiError {
  const what = task.kind === "render" ? "the model's chat template" : "the model's tokenizer";
  return new ApiError(400, `prompt: ${what} takes ${howMuch} for it; shorten it, or correct the model's files`, {
    code: "limit",
  });
}
