/**
 * @file Many requests over one page pool: continuous batching, prompts in pieces, admission by bytes, preemption.
 *
 * How it works. `generate` makes a request with `n` choices and puts it into a fair queue; one loop then goes round as long as
 * there is anything to do. A round
 *
 * 1. ends the choices of requests that were cancelled;
 * 2. resumes preempted choices and lets waiting requests in, as long as their bytes have room (admission.ts);
 * 3. plans a step, one token of each choice that decodes and a bounded piece of the prompts that are being read
 *    (step-plan.ts), and makes room for it: kept prefixes are evicted, then the choice that came last is preempted
 *    (kv-cache-manager.ts);
 * 4. runs it in the step loop, or takes the tokens of a step that is in flight already, and hands each choice's token to its
 *    continuation, whose text goes to the reader of the request.
 *
 * When the first choice has read the prompt, the others are forked from it. A choice that ends leaves its sequence as a prefix
 * for later requests. An error of one choice ends its request; one of the device ends all that have begun.
 *
 * Batching by step is Orca's (OSDI 2022), mixing in pieces of prompts Sarathi-Serve's (OSDI 2024).
 */
import { TurboQuantError } from "../../errors.ts";
import { refuseUnknownOptions } from "../../known-options.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { makeRoomForPrompt } from "../expect-pages.ts";
import type { FinishReason } from "../generation.ts";
import type { LLM } from "../llm.ts";
import { SharedPrefixes } from "../page-store/shared-prefixes.ts";
import type { DraftedRows, DrawnRow } from "../speculation/drafted-rows.ts";
import { parseSpeculation, type Speculate } from "../speculation/speculation-options.ts";
import { StepLoop, type StepOutcome, type StepSpan } from "../step-loop/step-loop.ts";
import { yieldNow } from "../yield-now.ts";
import { Admission } from "./admission.ts";
import { isAtPromptEnd, pushLastPiece, reportOf, scorePrompt, takeTokens, wantedRows } from "./choice-output.ts";
import { KvCacheManager } from "./kv-cache-manager.ts";
import { makeRequest } from "./make-request.ts";
import type { SchedulerObserver, SchedulerStats } from "./observer.ts";
import {
  type Choice,
  insertByArrival,
  isDecoding,
  pendingTokens,
  type Request,
  removeFrom,
  type ScheduledChunk,
  type ScheduleOptions,
} from "./request.ts";
import {
  DEFAULT_MAX_RUNNING,
  DEFAULT_MAX_WAITING,
  SCHEDULER_OPTIONS,
  type SchedulerOptions,
} from "./scheduler-options.ts";
import { SlotTable } from "./slots.ts";
import { withDrafts } from "./step-drafts.ts";
import { StepPace } from "./step-pace.ts";
import { bytesToReserve, type PlannedSpan, StepPlanner } from "./step-plan.ts";
import { WaitingRequests } from "./waiting-requests.ts";

export class Scheduler {
  readonly llm: LLM;
  readonly maxRunning: number;
  readonly slots: SlotTable;
  readonly #steps: StepLoop<Choice>;
  readonly #manager: KvCacheManager;
  readonly #shared: SharedPrefixes | null;
  readonly #admission: Admission;
  readonly #budgetPages: number;
  readonly #pace: StepPace;
  readonly #planner = new StepPlanner();
  readonly #usesPrefixes: boolean;
  readonly #speculate: Speculate | undefined;
  readonly #observer: SchedulerObserver;
  readonly #waiting: WaitingRequests;
  /** In the order of arrival, like the preempted choices. */
  readonly #running: Choice[] = [];
  readonly #preempted: Choice[] = [];
  #order = 0;
  /** What the latest step took. */
  #stepMs = 0;
  #isLooping = false;
  #isDraining = false;
  #isClosed = false;
  /** Calls of `together` that are not over. */
  #groups = 0;
  #onIdle: (() => void)[] = [];

  constructor(llm: LLM, options: SchedulerOptions = {}) {
    refuseUnknownOptions("scheduler", options, SCHEDULER_OPTIONS);
    this.llm = llm;
    this.maxRunning = options.maxRunning ?? DEFAULT_MAX_RUNNING;
    this.#waiting = new WaitingRequests(options.maxWaiting ?? DEFAULT_MAX_WAITING);
    this.#pace = new StepPace(llm.runner.chunkTokens, options.chunkTokens);
    this.#usesPrefixes = options.prefixCache ?? true;
    this.#speculate = options.speculate;
    parseSpeculation(options.speculate, llm);
    this.#observer = options.observer ?? {};
    const { pageStore, pageListener } = options;
    const savedBytes = options.savedBudgetBytes ?? llm.cache.pool.budgetBytes;
    this.#shared = pageStore && this.#usesPrefixes ? new SharedPrefixes(llm, pageStore, this.#observer) : null;
    this.#manager = new KvCacheManager(llm, savedBytes, pageListener, this.#shared);
    this.#steps = new StepLoop(llm.runner, () => this.#manager.evict());
    this.#admission = new Admission(llm.cache, () => this.#manager.limitBytes);
    const { contextLength } = llm.runner;
    const bytesPerToken = this.#admission.sequenceBytes(contextLength) / contextLength;
    this.#budgetPages = Math.floor(llm.cache.pool.budgetBytes / (bytesPerToken * PAGE_TOKENS));
    this.slots = new SlotTable(this.maxRunning, llm, this.#manager);
  }

  get stats(): SchedulerStats {
    const { pool } = this.llm.cache;
    const { prefixes, savedBytes } = this.#manager;
    return {
      running: this.#running.length,
      waiting: this.#waiting.size,
      preempted: this.#preempted.length,
      kvBytes: pool.numBytes,
      kvBudgetBytes: pool.budgetBytes,
      budgetPages: this.#budgetPages,
      savedBytes,
      prefixEntries: prefixes.size,
      prefixEvictions: prefixes.evictions,
      coarsenedPages: this.#manager.coarsenedPages,
      storeQueueBytes: this.#shared?.queueBytes ?? 0,
    };
  }

  get #isBusy(): boolean {
    return this.#isLooping || this.#groups > 0 || this.#waiting.isFetching;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Queues a prompt. The pieces of its continuations arrive as they are made, mixed if there are several. Leaving the loop over
   * them, or aborting the signal, ends the request and releases its pages.
   *
   * @throws TurboQuantError invalid_argument — an option, a token, a prompt longer than the context; out_of_memory — a prompt
   * that would not fit alone; unavailable — the queue is full, or the scheduler is draining
   */
  generate(ids: ArrayLike<number>, options: ScheduleOptions = {}): AsyncGenerator<ScheduledChunk, void> {
    this.#checkRoom();
    return this.#generate(ids, options);
  }

  /**
   * Takes prompts that `work` generates for one after another. When there is room for a request now, a full queue refuses none of them, and `drain` and
   * `close` wait for the last; after `close` no more are taken.
   *
   * @throws TurboQuantError as `generate` · what `work` throws
   */
  async together<T>(work: (generate: Scheduler["generate"]) => Promise<T>): Promise<T> {
    this.#checkRoom();
    this.#groups++;
    try {
      return await work((ids, options = {}) => {
        if (this.#isClosed) throw shuttingDown();
        return this.#generate(ids, options);
      });
    } finally {
      this.#groups--;
      this.#onIdleNow();
    }
  }

  #generate(ids: ArrayLike<number>, options: ScheduleOptions): AsyncGenerator<ScheduledChunk, void> {
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

  /** Accepts no more requests; resolves when all accepted ones are answered, and what others may share of them is written. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#isBusy) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    await this.#shared?.flush();
  }

  /** Aborts every request and releases all pages. */
  async close(): Promise<void> {
    this.#isDraining = true;
    this.#isClosed = true;
    this.#shared?.close();
    this.#waiting.cancelAll();
    for (const { request } of [...this.#running, ...this.#preempted]) request.isCancelled = true;
    await this.drain();
    this.#manager.prefixes.clear();
  }

  #checkRoom(): void {
    if (this.#isDraining) throw shuttingDown();
    this.#waiting.checkRoom();
  }

  #submit(ids: ArrayLike<number>, options: ScheduleOptions): Request {
    const request = makeRequest(this.llm, ids, options, {
      order: this.#order++,
      maxRunning: this.maxRunning,
      usesPrefixes: this.#usesPrefixes,
      speculate: this.#speculate,
    });
    this.#admission.checkAlone(request.ids.length);
    const fetching = this.#manager.fetchPrefix(request, this.#pace.msPerRow, this.#running);
    this.#waiting.add(request, fetching, () => void this.#loop());
    return request;
  }

  /** Runs steps until there is nothing to do. Only one loop runs at a time. */
  async #loop(): Promise<void> {
    if (this.#isLooping) return;
    this.#isLooping = true;
    while (this.#running.length + this.#preempted.length + this.#waiting.numQueued > 0) {
      // Lets sockets and timers run, and lets requests that arrive together share a step.
      await yieldNow();
      await this.#shared?.giveTime(this.#stepMs);
      try {
        this.#dropCancelled();
        this.#admit();
        if (this.#steps.ahead.length > 0) await this.#continueAhead();
        else {
          const planned = await this.#planWithRoom();
          const spans = this.#steps.takesDrafts
            ? await withDrafts(planned, this.llm, () => this.#manager.limitBytes)
            : planned;
          if (spans.length > 0) await this.#step(spans);
        }
      } catch (error) {
        // The error is the device's, or a bug, and cannot be attributed to one request, so all of them end with it.
        this.#steps.cancel();
        for (const { request } of [...this.#running, ...this.#preempted]) this.#fail(request, error);
      }
    }
    this.#isLooping = false;
    this.#waiting.reset();
    this.#manager.forgetDeviceLimit();
    this.#steps.close();
    this.#onIdleNow();
  }

  /** Tells those who wait for it that all is answered, if it is. */
  #onIdleNow(): void {
    if (this.#isBusy) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #dropCancelled(): void {
    const cancelled = this.#waiting.removeCancelled();
    for (const { request } of [...this.#running, ...this.#preempted]) if (request.isCancelled) cancelled.push(request);
    for (const { choices } of cancelled) for (const choice of choices) this.#end(choice, "aborted");
  }

  /** Resumes preempted choices, then admits waiting requests, as long as there is room. A choice that is alone always has room. */
  #admit(): void {
    const hasRoom = (length: number, shared: number, toRead = length): boolean =>
      this.#running.length === 0 || this.#admission.hasRoom(this.#running, length, shared, this.#promptRows(), toRead);
    for (let choice = this.#preempted[0]; choice; choice = this.#preempted[0]) {
      if (!hasRoom(choice.tokens.length, 0, choice.saved ? 1 : undefined) || !this.#resume(choice)) return;
    }
    for (let next = this.#waiting.peek(); next; next = this.#waiting.peek()) {
      if (this.#running.length > 0 && this.#running.length + next.choices.length > this.maxRunning) return;
      const shared = this.#manager.findPrefix(next)?.length ?? 0;
      if (!hasRoom(next.ids.length, shared)) return;
      this.#waiting.shift();
      const first = next.choices[0]!;
      first.sequence = this.llm.cache.createSequence();
      makeRoomForPrompt(first.sequence, next.ids.length - shared, this.llm.runner.chunkTokens);
      this.#run(first);
    }
  }

  /** Resumes a preempted choice. returns: false when there is no room after all */
  #resume(choice: Choice): boolean {
    try {
      this.#manager.resume(choice);
    } catch (error) {
      if (this.#running.length > 0 && isOutOfMemory(error)) return false;
      this.#fail(choice.request, error);
      return true;
    }
    removeFrom(this.#preempted, choice);
    insertByArrival(this.#running, choice);
    return true;
  }

  #run(choice: Choice): void {
    insertByArrival(this.#running, choice);
    this.slots.assign(choice);
  }

  /** The number of prompt rows that the next step may have. */
  #promptRows(): number {
    return this.#pace.promptRows(this.#running.filter(isDecoding).length);
  }

  /** Plans the next step and makes room for it. */
  async #planWithRoom(): Promise<readonly PlannedSpan[]> {
    const { isRowInvariant } = this.#manager;
    const fits = (spans: readonly PlannedSpan[]): boolean => {
      const bytes = bytesToReserve(spans);
      return this.#manager.makeRoom(bytes) || this.#manager.coarsen(this.#running, bytes);
    };
    for (;;) {
      const options = { chunkTokens: this.#promptRows(), isRowInvariant };
      for (const { choice } of this.#planner.plan(this.#running, options))
        if (!isDecoding(choice)) this.#manager.usePrefix(choice);
      const spans = this.#planner.plan(this.#running, options);
      if (fits(spans)) return spans;
      if (this.#running.length > 1) {
        await this.#preempt(this.#running.at(-1)!);
        continue;
      }
      const smallest = this.#planner.plan(this.#running, { chunkTokens: 0, isRowInvariant });
      if (fits(smallest)) return smallest;
      this.#outOfRoom(this.#running[0]!);
      return [];
    }
  }

  /** Ends the only remaining choice, which no longer fits, with the output it has so far. */
  #outOfRoom(choice: Choice): void {
    if (choice.tokens.length > choice.request.ids.length) this.#end(choice, "length");
    else this.#fail(choice.request, this.#admission.tooLong(choice.request.ids.length));
  }

  async #preempt(choice: Choice): Promise<void> {
    await this.#manager.preempt(choice);
    removeFrom(this.#running, choice);
    insertByArrival(this.#preempted, choice);
    this.#observer.onPreemption?.();
  }

  async #step(spans: readonly PlannedSpan[]): Promise<void> {
    const started = performance.now();
    const starts = new Map(spans.map(({ choice }) => [choice, choice.sequence!.length]));
    const rows = countRows(spans);
    const decodeRows = countRows(spans.filter(({ choice }) => isDecoding(choice)));
    for (const { choice } of spans) choice.request.startedAt ||= started;
    this.#planner.onBegin(spans);
    let outcomes: readonly StepOutcome<Choice>[];
    try {
      outcomes = await this.#steps.step(spans.map((span) => this.#spanOf(span)));
    } catch (error) {
      // The device may hold less than the budget.
      if (!isOutOfMemory(error)) throw error;
      this.#manager.onDeviceFull(bytesToReserve(spans));
      if (this.#manager.evict() || this.#manager.coarsen(this.#running, bytesToReserve(spans))) return;
      if (this.#running.length > 1) await this.#preempt(this.#running.at(-1)!);
      else this.#fail(this.#running[0]!.request, error);
      return;
    }
    const drafted = outcomes.reduce((sum, outcome) => sum + (outcome.drafted?.tokens.length ?? 0), 0);
    this.#onStep(rows + drafted, decodeRows + drafted, performance.now() - started);
    for (const outcome of outcomes) this.#accept(outcome, starts.get(outcome.row)!);
  }

  /** Takes the tokens of a step that is already in flight, and lets further steps begin while the running choices stay the same. */
  async #continueAhead(): Promise<void> {
    const started = performance.now();
    const { ahead } = this.#steps;
    const goesOn = ahead.length === this.#running.length && ahead.every((choice, i) => choice === this.#running[i]);
    const outcomes = await this.#steps.next(goesOn);
    this.#onStep(ahead.length, ahead.length, performance.now() - started);
    for (const outcome of outcomes) this.#accept(outcome, outcome.row.sequence!.length);
  }

  #onStep(rows: number, decodeRows: number, ms: number): void {
    this.#stepMs = ms;
    this.#pace.onStep(rows, decodeRows, ms);
    this.#observer.onStep?.(rows, decodeRows, ms);
  }

  #spanOf({ choice, count, drafts }: PlannedSpan): StepSpan<Choice> {
    const { request } = choice;
    const at = choice.sequence!.length;
    return {
      row: choice,
      count,
      ...(drafts && { drafts }),
      logits: wantedRows(choice, at, count),
      isHidden: request.pool !== null,
      promptLength: request.ids.length,
      ...(request.mayCache &&
        at < request.ids.length && { onPageEnd: (own) => this.#manager.keepPageEnd(request, own) }),
    };
  }

  /** Handles the result of a step for one choice, of its rows from position `at` on, as far as they were requested. */
  #accept({ row: choice, logits, hidden, sample, drafted }: StepOutcome<Choice>, at: number): void {
    const { request } = choice;
    if (request.isCancelled) return;
    try {
      if (at < request.ids.length) request.options.onPrefill?.(choice.sequence!.length, request.ids.length);
      scorePrompt(this.llm, choice, at, logits);
      request.pool?.add(hidden, at);
      if (pendingTokens(choice) > 0) return;
      const last = logits.subarray(Math.max(0, logits.length - this.llm.config.vocabSize));
      if (!isAtPromptEnd(choice)) {
        this.#emit(choice, { logits: last, sample }, drafted);
        return;
      }
      if (request.promptLogprobs.length > 0) {
        request.output.push({ index: 0, text: "", promptLogprobs: request.promptLogprobs });
      }
      if (request.pool) {
        request.output.push({ index: 0, text: "", embedding: request.pool.vector() });
        this.#end(choice, "stop");
        return;
      }
      if (request.options.scoreOnly) {
        for (const each of request.choices) this.#end(each, "length");
        return;
      }
      for (const other of request.choices.slice(1)) {
        other.sequence = choice.sequence!.fork();
        other.shared = { owner: request, tokens: request.ids.length };
        this.#run(other);
      }
      for (const each of request.choices) this.#emit(each, { logits: last, sample: null }, null);
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #emit(choice: Choice, row: DrawnRow, drafted: DraftedRows | null): void {
    const finish = takeTokens(choice, row, drafted, this.#observer, () => this.#manager.shareAnswer(choice));
    if (finish) this.#retire(choice, finish);
  }

  /** Ends a choice that has no token for its last piece. */
  #end(choice: Choice, reason: FinishReason): void {
    if (choice.isOver) return;
    pushLastPiece(choice, reason);
    this.#retire(choice, reason);
  }

  #retire(choice: Choice, reason: FinishReason | "error"): void {
    if (choice.isOver) return;
    choice.isOver = true;
    choice.continuation.release();
    choice.speculator?.release();
    this.#steps.end(choice);
    for (const list of [this.#running, this.#preempted]) removeFrom(list, choice);
    this.slots.release(choice, this.#manager.retire(choice));
    if (choice.request.choices.some((other) => !other.isOver)) return;
    choice.request.output.close();
    const report = reportOf(choice, reason);
    this.#observer.onFinish?.(report);
    choice.request.options.onFinish?.(report);
  }

  /** Ends a request with an error, which its reader gets. */
  #fail(request: Request, error: unknown): void {
    request.output.close(error);
    for (const choice of request.choices) this.#retire(choice, "error");
  }
}

const shuttingDown = (): TurboQuantError =>
  new TurboQuantError("unavailable", "shutting down: no more requests are taken; ask another server");

const isOutOfMemory = (error: unknown): error is TurboQuantError =>
  error instanceof TurboQuantError && error.code === "out_of_memory";

/** Rows of a step, without its drafts. */
const countRows = (spans: readonly PlannedSpan[]): number => spans.reduce((sum, { count }) => sum + count, 0);
