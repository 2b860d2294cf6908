/**
 * @file Many generations over one page pool: continuous batching, prompts in pieces, admission by bytes, preemption.
 *
 * Every step takes one token of each job that decodes and a bounded piece of the prompts that are being read (step-plan.ts);
 * batching by step is Orca's (OSDI 2022), mixing in pieces of prompts Sarathi-Serve's (OSDI 2024). Requests are let in
 * while their prompt has room. When the pool runs full, kept prefixes go first, then the youngest job gives its pages up.
 */
import type { DeviceSample } from "../../backends/ops.ts";
import { TurboQuantError } from "../../errors.ts";
import type { FinishReason } from "../generation.ts";
import type { LLM } from "../llm.ts";
import { StepLoop, type StepOutcome, type StepSpan } from "../step-loop/step-loop.ts";
import { yieldNow } from "../yield-now.ts";
import { Admission } from "./admission.ts";
import { FairQueue } from "./fair-queue.ts";
import type { ScheduleOptions } from "./job.ts";
import { isDecoding, isLater, type Job, pendingTokens, type Request, type ScheduledChunk } from "./job.ts";
import { isAtPromptEnd, pushLastPiece, reportOf, scorePrompt, takeToken, wantedLogits } from "./job-output.ts";
import { makeRequest } from "./make-request.ts";
import type { SchedulerObserver, SchedulerStats } from "./observer.ts";
import { Residency } from "./residency.ts";
import { SlotTable } from "./slots.ts";
import { StepPace } from "./step-pace.ts";
import { type PlannedSpan, planStep } from "./step-plan.ts";

export interface SchedulerOptions {
  /** Most sequences that are computed together; default 64. */
  readonly maxRunning?: number;
  /** Most requests that wait; default 1024. */
  readonly maxWaiting?: number;
  /** Rows of a step that prompts may take beside requests that decode; default: as many as take a tenth of a second, at least what suits the backend. */
  readonly chunkTokens?: number;
  /** Keep prefixes for later requests; default true. */
  readonly prefixCache?: boolean;
  /** Most bytes of preempted jobs; default: as many as the pages may take. Beyond them, tokens are computed again. */
  readonly savedBudgetBytes?: number;
  readonly observer?: SchedulerObserver;
}

const DEFAULT_MAX_RUNNING = 64;
const DEFAULT_MAX_WAITING = 1024;

export class Scheduler {
  readonly llm: LLM;
  readonly maxRunning: number;
  readonly slots: SlotTable;
  readonly #steps: StepLoop<Job>;
  readonly #residency: Residency;
  readonly #admission: Admission;
  readonly #pace: StepPace;
  readonly #maxWaiting: number;
  readonly #usesPrefixes: boolean;
  readonly #observer: SchedulerObserver;
  readonly #waiting = new FairQueue<Request>();
  /** In the order of arrival; so are the preempted. */
  readonly #running: Job[] = [];
  readonly #preempted: Job[] = [];
  #order = 0;
  #isLooping = false;
  #isDraining = false;
  #onIdle: (() => void)[] = [];

  constructor(llm: LLM, options: SchedulerOptions = {}) {
    this.llm = llm;
    this.maxRunning = options.maxRunning ?? DEFAULT_MAX_RUNNING;
    this.#maxWaiting = options.maxWaiting ?? DEFAULT_MAX_WAITING;
    this.#pace = new StepPace(llm.runner.chunkTokens, options.chunkTokens);
    this.#usesPrefixes = options.prefixCache ?? true;
    this.#observer = options.observer ?? {};
    this.#residency = new Residency(llm, options.savedBudgetBytes ?? llm.cache.pool.budgetBytes);
    this.#steps = new StepLoop(llm.runner, () => this.#residency.prefixes.evict());
    this.#admission = new Admission(llm.cache, () => this.#residency.limitBytes);
    this.slots = new SlotTable(this.maxRunning, llm, this.#residency);
  }

  get stats(): SchedulerStats {
    const { pool } = this.llm.cache;
    const { prefixes, savedBytes } = this.#residency;
    return {
      running: this.#running.length,
      waiting: this.#waiting.size,
      preempted: this.#preempted.length,
      kvBytes: pool.numBytes,
      kvBudgetBytes: pool.budgetBytes,
      savedBytes,
      prefixEntries: prefixes.size,
      prefixEvictions: prefixes.evictions,
    };
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Queues a prompt; the pieces of its continuations come as they are made, mixed when there are several. Leaving the
   * loop over them, or the signal, ends the request and gives its pages back.
   *
   * @throws TurboQuantError invalid_argument — an option, a token, a prompt longer than the context; out_of_memory — a
   * prompt that would not fit alone; unavailable — the queue is full, or the scheduler is draining
   */
  generate(ids: ArrayLike<number>, options: ScheduleOptions = {}): AsyncGenerator<ScheduledChunk, void> {
    const request = this.#submit(ids, options);
    const cancel = (): void => {
      request.isCancelled = true;
    };
    options.signal?.addEventListener("abort", cancel, { once: true });
    if (options.signal?.aborted) cancel();
    return (async function* () {
      try {
        yield* request.output.read();
      } finally {
        options.signal?.removeEventListener("abort", cancel);
        cancel();
      }
    })();
  }

  /** Takes no more requests; resolves when those it has are answered. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#isLooping) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  /** Breaks every request off and gives all pages back. */
  async close(): Promise<void> {
    this.#isDraining = true;
    this.#waiting.forEach((request) => {
      request.isCancelled = true;
    });
    for (const { request } of [...this.#running, ...this.#preempted]) request.isCancelled = true;
    await this.drain();
    this.#residency.prefixes.clear();
  }

  #submit(ids: ArrayLike<number>, options: ScheduleOptions): Request {
    if (this.#isDraining) {
      throw new TurboQuantError("unavailable", "shutting down: no more requests are taken; ask another server");
    }
    if (this.#waiting.size >= this.#maxWaiting) {
      throw new TurboQuantError("unavailable", `busy: ${this.#maxWaiting} requests are waiting; try again later`);
    }
    const request = makeRequest(this.llm, ids, options, {
      order: this.#order++,
      maxRunning: this.maxRunning,
      usesPrefixes: this.#usesPrefixes,
    });
    this.#admission.checkAlone(request.ids.length);
    this.#waiting.push(request, options.client ?? "", request.ids.length + request.maxNewTokens * request.jobs.length);
    void this.#loop();
    return request;
  }

  /** Runs steps until there is nothing to do; one loop at a time. */
  async #loop(): Promise<void> {
    if (this.#isLooping) return;
    this.#isLooping = true;
    while (this.#running.length + this.#preempted.length + this.#waiting.size > 0) {
      // Sockets and timers get their turn; and requests that arrive together meet in one step.
      await yieldNow();
      try {
        this.#dropCancelled();
        this.#admit();
        if (this.#steps.ahead.length > 0) await this.#continueAhead();
        else {
          const spans = await this.#planWithRoom();
          if (spans.length > 0) await this.#step(spans);
        }
      } catch (error) {
        // Of the device, or a bug: nothing says which job it belongs to.
        this.#steps.cancel();
        for (const { request } of [...this.#running, ...this.#preempted]) this.#fail(request, error);
      }
    }
    this.#isLooping = false;
    this.#residency.forgetDeviceLimit();
    this.#steps.close();
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #dropCancelled(): void {
    const cancelled = this.#waiting.remove((request) => request.isCancelled);
    for (const { request } of [...this.#running, ...this.#preempted]) if (request.isCancelled) cancelled.push(request);
    for (const { jobs } of cancelled) for (const job of jobs) this.#end(job, "aborted");
  }

  /** The preempted go on first, then those who wait come in, each as long as there is room. A job alone always has. */
  #admit(): void {
    const hasRoom = (length: number, shared: number): boolean =>
      this.#running.length === 0 || this.#admission.hasRoom(this.#running, length, shared, this.#promptRows());
    for (let job = this.#preempted[0]; job; job = this.#preempted[0]) {
      if (!hasRoom(job.tokens.length, 0) || !this.#resume(job)) return;
    }
    for (let next = this.#waiting.peek(); next; next = this.#waiting.peek()) {
      if (this.#running.length > 0 && this.#running.length + next.jobs.length > this.maxRunning) return;
      if (!hasRoom(next.ids.length, this.#residency.findPrefix(next)?.length ?? 0)) return;
      this.#waiting.shift();
      const first = next.jobs[0]!;
      first.sequence = this.llm.cache.createSequence();
      this.#run(first);
    }
  }

  /** false: there is no room after all */
  #resume(job: Job): boolean {
    try {
      this.#residency.resume(job);
    } catch (error) {
      if (this.#running.length > 0 && isOutOfMemory(error)) return false;
      this.#fail(job.request, error);
      return true;
    }
    this.#preempted.splice(this.#preempted.indexOf(job), 1);
    insert(this.#running, job);
    return true;
  }

  #run(job: Job): void {
    insert(this.#running, job);
    this.slots.assign(job);
  }

  /** That prompts may take of the next step. */
  #promptRows(): number {
    return this.#pace.promptRows(this.#running.filter(isDecoding).length);
  }

  /** The next step, after making room for it. */
  async #planWithRoom(): Promise<readonly PlannedSpan[]> {
    const { isRowInvariant } = this.#residency;
    const fits = (spans: readonly PlannedSpan[]): boolean =>
      this.#residency.makeRoom(spans.reduce((sum, { job, count }) => sum + job.sequence!.bytesToReserve(count), 0));
    for (;;) {
      const options = { chunkTokens: this.#promptRows(), isRowInvariant };
      for (const { job } of planStep(this.#running, options)) if (!isDecoding(job)) this.#residency.usePrefix(job);
      const spans = planStep(this.#running, options);
      if (fits(spans)) return spans;
      if (this.#running.length > 1) {
        await this.#preempt(this.#running.at(-1)!);
        continue;
      }
      const smallest = planStep(this.#running, { chunkTokens: 0, isRowInvariant });
      if (fits(smallest)) return smallest;
      this.#outOfRoom(this.#running[0]!);
      return [];
    }
  }

  /** The only job there is does not fit any more: it ends with what it has said. */
  #outOfRoom(job: Job): void {
    if (job.tokens.length > job.request.ids.length) this.#end(job, "length");
    else this.#fail(job.request, this.#admission.tooLong(job.request.ids.length));
  }

  async #preempt(job: Job): Promise<void> {
    await this.#residency.preempt(job);
    this.#running.splice(this.#running.indexOf(job), 1);
    insert(this.#preempted, job);
    this.#observer.onPreemption?.();
  }

  async #step(spans: readonly PlannedSpan[]): Promise<void> {
    const started = performance.now();
    const starts = new Map(spans.map(({ job }) => [job, job.sequence!.length]));
    const rows = spans.reduce((sum, { count }) => sum + count, 0);
    const decodeRows = spans.filter(({ job }) => isDecoding(job)).length;
    for (const { job } of spans) job.request.startedAt ||= started;
    let outcomes: readonly StepOutcome<Job>[];
    try {
      outcomes = await this.#steps.step(spans.map((span) => this.#spanOf(span)));
    } catch (error) {
      // The device can hold less than the budget.
      if (!isOutOfMemory(error)) throw error;
      this.#residency.onDeviceFull(spans.reduce((sum, { job, count }) => sum + job.sequence!.bytesToReserve(count), 0));
      if (this.#residency.prefixes.evict()) return;
      if (this.#running.length > 1) await this.#preempt(this.#running.at(-1)!);
      else this.#fail(this.#running[0]!.request, error);
      return;
    }
    this.#onStep(rows, decodeRows, performance.now() - started);
    for (const { row, logits, sample } of outcomes) this.#accept(row, starts.get(row)!, logits, sample);
  }

  /** The tokens of a step that has begun before; more of them begin while the same jobs are running. */
  async #continueAhead(): Promise<void> {
    const started = performance.now();
    const { ahead } = this.#steps;
    const goesOn = ahead.length === this.#running.length && ahead.every((job, i) => job === this.#running[i]);
    const outcomes = await this.#steps.next(goesOn);
    this.#onStep(ahead.length, ahead.length, performance.now() - started);
    for (const { row, logits, sample } of outcomes) this.#accept(row, row.sequence!.length, logits, sample);
  }

  #onStep(rows: number, decodeRows: number, ms: number): void {
    this.#pace.onStep(rows, decodeRows, ms);
    this.#observer.onStep?.(rows, decodeRows, ms);
  }

  #spanOf({ job, count }: PlannedSpan): StepSpan<Job> {
    const { request } = job;
    const at = job.sequence!.length;
    return {
      row: job,
      count,
      logits: wantedLogits(job, at, count),
      ...(request.mayCache &&
        at < request.ids.length && { onPageEnd: (own) => this.#residency.keepPageEnd(request, own) }),
    };
  }

  /** logits: of a job's rows from position `at` on, as far as they were asked for */
  #accept(job: Job, at: number, logits: Float32Array, sample: DeviceSample | null): void {
    const { request } = job;
    if (request.isCancelled) return;
    try {
      if (at < request.ids.length) request.options.onPrefill?.(job.sequence!.length, request.ids.length);
      scorePrompt(this.llm, job, at, logits);
      if (pendingTokens(job) > 0) return;
      const last = logits.subarray(Math.max(0, logits.length - this.llm.config.vocabSize));
      if (!isAtPromptEnd(job)) {
        this.#emitToken(job, last, sample);
        return;
      }
      if (request.promptLogprobs.length > 0) {
        request.output.push({ index: 0, text: "", promptLogprobs: request.promptLogprobs });
      }
      if (request.options.scoreOnly) {
        for (const each of request.jobs) this.#end(each, "length");
        return;
      }
      for (const other of request.jobs.slice(1)) {
        other.sequence = job.sequence!.fork();
        other.shared = { owner: request, tokens: request.ids.length };
        this.#run(other);
      }
      for (const each of request.jobs) this.#emitToken(each, last, null);
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #emitToken(job: Job, logits: Float32Array, sample: DeviceSample | null): void {
    const finish = takeToken(job, logits, sample, this.#observer);
    if (finish) this.#retire(job, finish);
  }

  /** Ends a job that has no token for its last piece. */
  #end(job: Job, reason: FinishReason): void {
    if (job.isOver) return;
    pushLastPiece(job, reason);
    this.#retire(job, reason);
  }

  #retire(job: Job, reason: FinishReason | "error"): void {
    if (job.isOver) return;
    job.isOver = true;
    this.#steps.end(job);
    for (const list of [this.#running, this.#preempted]) {
      const at = list.indexOf(job);
      if (at >= 0) list.splice(at, 1);
    }
    this.slots.release(job, this.#residency.retire(job));
    if (job.request.jobs.some((other) => !other.isOver)) return;
    job.request.output.close();
    this.#observer.onFinish?.(reportOf(job, reason));
  }

  /** Ends a whole request; its reader gets the error. */
  #fail(request: Request, error: unknown): void {
    request.output.close(error);
    for (const job of request.jobs) this.#retire(job, "error");
  }
}

const isOutOfMemory = (error: unknown): error is TurboQuantError =>
  error instanceof TurboQuantError && error.code === "out_of_memory";

function insert(list: Job[], job: Job): void {
  const at = list.findIndex((other) => isLater(other, job));
  list.splice(at < 0 ? list.length : at, 0, job);
}
