/**
 * @file The coordinator's side of a sweep's queue: hands tasks to workers on any host and waits for their outcomes.
 *
 * What is pending here is the truth. The server may forget everything at any time: a task that it does not have is put there again, and
 * only one outcome of a task is taken, however often it was computed.
 */
import type { Job, JobProgress, JobType, Queue, QueueEvents } from "bullmq";
import type { Redis } from "ioredis";
import { TurboQuantError } from "../../../errors.ts";
import { sha256Hex } from "../../../formats/sha256.ts";
import { type Evaluator, type SweepText, type Task, type TaskResult, WorkerEnded, type WorkerSetup } from "../task.ts";
import {
  decodeOutcome,
  JOB_VERSION,
  type JobOutcome,
  type JobReport,
  type JobText,
  jobId,
  type SweepJob,
  textKey,
} from "./queue-job.ts";
import { KEY_PREFIX, type QueueLibrary, type QueuePlace } from "./queue-place.ts";

/** Events say when to look; this is for events that were lost. */
const LOOK_EVERY_MS = 5000;
/** What nobody fetches leaves the server after a week. */
const KEPT_SECONDS = 7 * 24 * 3600;
/** The look at what no task alone needs; no id of a job. */
const SERVER = "server";
const OPEN_STATES: JobType[] = ["waiting", "delayed", "prioritized"];
const ENDED_STATES: JobType[] = ["completed", "failed"];

export interface TaskQueueOptions {
  /** Letters and digits, which tell the jobs of this sweep from those of others on the same queue. */
  readonly sweepId: string;
  /** See `SweepJob.build`. */
  readonly build: string;
  /** `modelIdentity` of each model of the space. */
  readonly identities: ReadonlyMap<string, string>;
  readonly setup: WorkerSetup;
  /** Tells the user what he did not ask for. */
  readonly note: (message: string) => void;
}

interface Pending {
  readonly job: SweepJob;
  readonly onShare: (share: number) => void;
  readonly settle: (outcome: JobOutcome) => void;
}

export class TaskQueue {
  readonly #options: TaskQueueOptions;
  readonly #text: JobText;
  readonly #queue: Queue<SweepJob, string>;
  #events: QueueEvents | null = null;
  readonly #clients: readonly Redis[];
  readonly #pending = new Map<string, Pending>();
  readonly #noted = new Set<string>();
  #isAway = false;
  #numWorkers: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** Looks follow one another, so that none acts upon what another one has changed. */
  #last: Promise<void> = Promise.resolve();
  /** Looks that have not begun: ids of tasks, and `SERVER`. */
  readonly #queued = new Set<string>();

  private constructor(place: QueuePlace, { bullmq, connect }: QueueLibrary, options: TaskQueueOptions) {
    this.#options = options;
    this.#text = jobText(options.setup.text);
    const [commands, reads] = [connect(), connect()];
    this.#clients = [commands, reads];
    this.#queue = new bullmq.Queue(place.name, { connection: commands, prefix: KEY_PREFIX });
    this.#queue.on("error", () => {});
    reads.on("error", () => {});
    commands.on("error", (error) => this.#isGone(error));
    commands.on("ready", () => this.#isBack());
  }

  async #listen(place: QueuePlace, { bullmq }: QueueLibrary): Promise<void> {
    // From a server that is too old or refuses, BullMQ's events do not disconnect: the queue has to be ready before.
    await this.#queue.waitUntilReady();
    const events = new bullmq.QueueEvents(place.name, { connection: this.#clients[1]!, prefix: KEY_PREFIX });
    this.#events = events;
    events.on("error", () => {});
    events.on("completed", (event) => this.#look(event.jobId));
    events.on("failed", (event) => this.#look(event.jobId));
    events.on("progress", (event) => this.#report(event.jobId, event.data));
    await events.waitUntilReady();
  }

  /** Removes what an earlier coordinator of this sweep has left, but keeps the results that it did not fetch. */
  static async open(place: QueuePlace, library: QueueLibrary, options: TaskQueueOptions): Promise<TaskQueue> {
    const queue = new TaskQueue(place, library, options);
    try {
      await queue.#listen(place, library);
      await queue.#remove(OPEN_STATES);
      await queue.#remove(ENDED_STATES, (job) => outcomeOf(job)?.kind !== "done");
    } catch (error) {
      await queue.close(false);
      throw error;
    }
    queue.#lookAll();
    await queue.#last;
    queue.#timer = setInterval(() => queue.#lookAll(), LOOK_EVERY_MS);
    return queue;
  }

  /** Number of workers that are connected; null where the server does not say. */
  get numWorkers(): number | null {
    return this.#numWorkers;
  }

  /** One of those that hand out a task at a time. Their `dispose` does nothing: `close` ends all. */
  evaluator(): Evaluator {
    let stored: string | null = null;
    return {
      evaluate: async (task, onShare, signal) => {
        // The rows of the task before are on the disk now; its result may go.
        if (stored !== null) void this.#queue.remove(stored).catch(() => {});
        stored = null;
        const job = this.#jobOf(task);
        const id = jobId(this.#options.sweepId, job);
        const result = await this.#evaluate(id, job, onShare, signal);
        stored = id;
        return result;
      },
      dispose: async () => {},
    };
  }

  #jobOf({ ref, ...task }: Task): SweepJob {
    const { build, identities, setup } = this.#options;
    const { base, needle, backend, weights } = setup;
    const model = { name: ref, identity: identities.get(ref)! };
    return { version: JOB_VERSION, build, model, setup: { base, needle, backend, weights, text: this.#text }, task };
  }

  async #evaluate(
    id: string,
    job: SweepJob,
    onShare: (share: number) => void,
    signal: AbortSignal,
  ): Promise<TaskResult> {
    signal.throwIfAborted();
    return await new Promise<TaskResult>((resolve, reject) => {
      const end = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#pending.delete(id);
      };
      const onAbort = (): void => {
        end();
        reject(signal.reason);
      };
      const settle = (outcome: JobOutcome): void => {
        end();
        if (outcome.kind === "done") resolve(outcome.result);
        else if (outcome.kind === "failed") reject(new TurboQuantError(outcome.code, outcome.message));
        else if (outcome.kind === "ended") reject(new WorkerEnded(outcome.message));
        else reject(new Error(outcome.message));
      };
      signal.addEventListener("abort", onAbort);
      this.#pending.set(id, { job, onShare, settle });
      this.#look(id);
    });
  }

  /** Fetches the outcome of a pending task, or puts the task on the server if it is not there. */
  #look(id: string): void {
    this.#enqueue(id, () => this.#lookNow(id));
  }

  /** A look that has not begun will see all that a second one would: the line does not grow while the server is away. */
  #enqueue(key: string, look: () => Promise<void>): void {
    if (this.#queued.has(key)) return;
    this.#queued.add(key);
    this.#last = this.#last
      .then(() => {
        this.#queued.delete(key);
        return look();
      })
      .catch((error: Error) => this.#refused(error));
  }

  async #lookNow(id: string): Promise<void> {
    const pending = this.#pending.get(id);
    if (!pending) return;
    const job = await this.#queue.getJob(id);
    if (!job) {
      const kept = { age: KEPT_SECONDS };
      await this.#queue.add("task", pending.job, { jobId: id, removeOnComplete: kept, removeOnFail: kept });
      return;
    }
    const outcome = outcomeOf(job);
    if (outcome === null) return;
    // A result stays until its rows are stored. After any other outcome the same task may be tried again, as a job that has none.
    if (outcome.kind !== "done") await job.remove();
    this.#pending.get(id)?.settle(outcome);
  }

  #lookAll(): void {
    for (const id of this.#pending.keys()) this.#look(id);
    this.#enqueue(SERVER, async () => {
      await this.#keepText();
      this.#numWorkers = await this.#queue.getWorkersCount().catch(() => null);
    });
  }

  /** Puts the text on the server, for workers to fetch, unless it is there. */
  async #keepText(): Promise<void> {
    const { text } = this.#options.setup;
    if (text.kind !== "given" || this.#text.kind !== "given") return;
    const key = textKey(KEY_PREFIX, this.#text.sha256);
    const [commands] = this.#clients;
    if ((await commands!.expire(key, KEPT_SECONDS)) === 0) await commands!.set(key, text.text, "EX", KEPT_SECONDS);
  }

  #report(id: string, report: JobProgress): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    const told = report as JobReport;
    if (told.kind === "share") pending.onShare(told.share);
    else this.#noteOnce(`worker ${told.worker} refuses a task: ${told.reason}`);
  }

  #noteOnce(message: string): void {
    if (this.#noted.has(message)) return;
    this.#noted.add(message);
    this.#options.note(message);
  }

  /** The server is there and says no, for example because its memory or disk is full: that may pass. */
  #refused(error: Error): void {
    if (!this.#isAway)
      this.#noteOnce(`the queue's server refuses: ${error.message}; the sweep waits, and nothing is lost`);
  }

  #isGone(error: NodeJS.ErrnoException): void {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#options.note(
      `the queue's server does not answer (${error.message || error.code}); the sweep waits for it, and nothing is lost`,
    );
  }

  #isBack(): void {
    if (this.#isAway) this.#options.note("the queue's server answers again");
    this.#isAway = false;
    // It may have come back without its data.
    this.#lookAll();
  }

  async #remove(states: JobType[], which: (job: Job<SweepJob, string>) => boolean = () => true): Promise<void> {
    const jobs = await this.#queue.getJobs(states);
    const own = jobs.filter((job) => job?.id?.startsWith(`${this.#options.sweepId}-`) && which(job));
    await Promise.all(own.map((job) => job.remove().catch(() => {})));
  }

  /**
   * Takes back what no worker has begun, and disconnects.
   *
   * isDone: all rows are stored, so results and the text go as well; otherwise they wait for the sweep to go on
   */
  async close(isDone: boolean): Promise<void> {
    clearInterval(this.#timer);
    this.#pending.clear();
    const [commands] = this.#clients;
    if (commands!.status === "ready") {
      await this.#last;
      await this.#remove(isDone ? [...OPEN_STATES, ...ENDED_STATES] : OPEN_STATES).catch(() => {});
      if (isDone && this.#text.kind === "given") {
        await commands!.del(textKey(KEY_PREFIX, this.#text.sha256)).catch(() => {});
      }
    }
    await Promise.all([this.#events?.close().catch(() => {}), this.#queue.close().catch(() => {})]);
    for (const client of this.#clients) client.disconnect();
  }
}

function jobText(text: SweepText): JobText {
  if (text.kind === "own") return text;
  return { kind: "given", sha256: sha256Hex([new TextEncoder().encode(text.text)]), source: text.source };
}

/** null while there is none. */
function outcomeOf(job: Job<SweepJob, string>): JobOutcome | null {
  if (job.finishedOn === undefined) return null;
  // BullMQ gives up a job whose workers have vanished.
  if (job.failedReason) return { kind: "ended", message: `the worker vanished (${job.failedReason})` };
  return decodeOutcome(job.returnvalue);
}
