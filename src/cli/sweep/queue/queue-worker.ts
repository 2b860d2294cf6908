/** @file A worker of a sweep's queue: takes jobs, computes them with evaluators of this host, and gives back what it cannot or may not finish. */
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Job, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { TurboQuantError } from "../../../errors.ts";
import { type Evaluator, WorkerEnded, type WorkerSetup } from "../task.ts";
import type { PreparedJob } from "./prepare-job.ts";
import { encodeOutcome, type JobOutcome, type JobReport, type SweepJob } from "./queue-job.ts";
import { KEY_PREFIX, type QueueLibrary, type QueuePlace } from "./queue-place.ts";

/** Time between two reports of progress. */
const REPORT_EVERY_MS = 500;
/** A worker that has refused a job leaves it to others for so long. */
const REFUSED_PAUSE_MS = 5000;
/**
 * How long a job is a worker's without a sign of life. The lock is renewed at half of it by a process that does nothing else, so a host that
 * died is noticed in about twice this time.
 */
const LOCK_MS = 15_000;

export interface QueueWorkerOptions {
  /** Jobs at once. */
  readonly slots: number;
  readonly createEvaluator: (setup: WorkerSetup) => Evaluator;
  /** What this host computes a job with. A string: why it refuses it. */
  readonly prepare: (job: SweepJob, server: Redis, signal: AbortSignal) => Promise<PreparedJob | string>;
  readonly note: (message: string) => void;
  /** Time between two searches for jobs whose worker has vanished. Default: as long as a lock. */
  readonly searchEveryMs?: number;
}

export interface WorkerCounts {
  /** Jobs with an outcome. */
  readonly done: number;
  readonly givenBack: number;
}

/** Room for one job. It keeps its evaluator, and that its model, for the next. */
interface Slot {
  isBusy: boolean;
  setupKey: string | null;
  ref: string | null;
  evaluator: Evaluator | null;
}

export class QueueWorker {
  readonly name = `${hostname()}-${process.pid}`;
  readonly #options: QueueWorkerOptions;
  readonly #library: QueueLibrary;
  readonly #client: Redis;
  readonly #worker: Worker<SweepJob, string>;
  readonly #slots: readonly Slot[];
  readonly #stop = new AbortController();
  readonly #noted = new Set<string>();
  #isAway = false;
  #done = 0;
  #givenBack = 0;

  /** Begins to serve. */
  constructor(place: QueuePlace, library: QueueLibrary, options: QueueWorkerOptions) {
    this.#options = options;
    this.#library = library;
    this.#slots = Array.from({ length: options.slots }, () => ({
      isBusy: false,
      setupKey: null,
      ref: null,
      evaluator: null,
    }));
    this.#client = library.connect();
    this.#client.on("error", (error) => this.#isGone(error));
    this.#client.on("ready", () => this.#isBack());
    this.#worker = new library.bullmq.Worker(place.name, (job, token) => this.#process(job, token ?? ""), {
      connection: this.#client,
      prefix: KEY_PREFIX,
      name: this.name,
      concurrency: options.slots,
      lockDuration: LOCK_MS,
      stalledInterval: options.searchEveryMs ?? LOCK_MS,
    });
    // Such as a lock that was lost while the host slept: the job is another worker's then, and the outcome is not taken.
    this.#worker.on("error", () => {});
  }

  get counts(): WorkerCounts {
    return { done: this.#done, givenBack: this.#givenBack };
  }

  /** Stops what runs, gives it back to the queue, and disconnects. */
  async stop(): Promise<void> {
    // Nothing can be given back to a server that is away; it will notice that nobody renews the locks.
    const closed = this.#worker.close(this.#client.status !== "ready");
    this.#stop.abort();
    await closed;
    await Promise.all(this.#slots.map(({ evaluator }) => evaluator?.dispose()));
    this.#client.disconnect();
  }

  async #process(job: Job<SweepJob, string>, token: string): Promise<string> {
    const { signal } = this.#stop;
    try {
      signal.throwIfAborted();
      const prepared = await this.#options.prepare(job.data, this.#client, signal);
      signal.throwIfAborted();
      if (typeof prepared === "string") return await this.#refuse(job, token, prepared);
      const outcome = await this.#evaluate(job, prepared, signal);
      this.#done++;
      return encodeOutcome(outcome);
    } catch (error) {
      if (!signal.aborted) throw error;
      await job.moveToWait(token);
      this.#givenBack++;
      throw new this.#library.bullmq.WaitingError();
    }
  }

  async #evaluate(job: Job<SweepJob, string>, prepared: PreparedJob, signal: AbortSignal): Promise<JobOutcome> {
    const slot = this.#takeSlot(prepared);
    let reportedAt = Number.NEGATIVE_INFINITY;
    const onShare = (share: number): void => {
      const now = performance.now();
      if (now - reportedAt < REPORT_EVERY_MS) return;
      reportedAt = now;
      this.#tell(job, { kind: "share", share });
    };
    try {
      const result = await slot.evaluator.evaluate({ ...job.data.task, ref: prepared.ref }, onShare, signal);
      return { kind: "done", result };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof WorkerEnded) return { kind: "ended", message: error.message };
      if (error instanceof TurboQuantError) return { kind: "failed", code: error.code, message: error.message };
      return { kind: "fault", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    } finally {
      slot.isBusy = false;
    }
  }

  /** A free slot, the one that has the model loaded if there is one. */
  #takeSlot({ ref, setup }: PreparedJob): Slot & { readonly evaluator: Evaluator } {
    const setupKey = JSON.stringify(setup);
    const free = this.#slots.filter(({ isBusy }) => !isBusy);
    const like = free.filter((slot) => slot.setupKey === setupKey);
    const slot = (like.find((one) => one.ref === ref) ?? like[0] ?? free.find((one) => !one.evaluator) ?? free[0])!;
    if (slot.setupKey !== setupKey) {
      void slot.evaluator?.dispose();
      slot.evaluator = null;
    }
    const evaluator = (slot.evaluator ??= this.#options.createEvaluator(setup));
    return Object.assign(slot, { isBusy: true, setupKey, ref, evaluator });
  }

  /** Gives a job to other workers, behind those that wait, and leaves them time to take it. */
  async #refuse(job: Job<SweepJob, string>, token: string, reason: string): Promise<never> {
    if (!this.#noted.has(reason)) this.#options.note(`refuses a task: ${reason}`);
    this.#noted.add(reason);
    this.#tell(job, { kind: "refused", worker: this.name, reason });
    await job.moveToDelayed(Date.now(), token);
    await delay(REFUSED_PAUSE_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    throw new this.#library.bullmq.DelayedError();
  }

  /** Progress that does not arrive is not missed. */
  #tell(job: Job<SweepJob, string>, report: JobReport): void {
    void job.updateProgress(report).catch(() => {});
  }

  #isGone(error: NodeJS.ErrnoException): void {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#options.note(`the queue's server does not answer (${error.message || error.code}); waiting for it`);
  }

  #isBack(): void {
    if (this.#isAway) this.#options.note("the queue's server answers again");
    this.#isAway = false;
  }
}
