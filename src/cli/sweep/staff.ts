/** @file Who computes the tasks of a sweep: this process, processes of this host, or workers anywhere through a queue. */
import { TurboQuantError } from "../../errors.ts";
import { sha256Hex } from "../../formats/sha256.ts";
import { getPlatform, type OnProgress } from "../../platform.ts";
import type { QueueFlags } from "../options.ts";
import { LocalEvaluator } from "./local-evaluator.ts";
import { buildName, modelIdentity } from "./queue/model-identity.ts";
import { openQueueLibrary, type QueueLibrary, type QueuePlace, queuePlace, shownUrl } from "./queue/queue-place.ts";
import { TaskQueue } from "./queue/task-queue.ts";
import type { Evaluator, WorkerSetup } from "./task.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Tasks that are handed out at once where `--workers` does not say: as many workers of a queue can be busy. */
export const DEFAULT_QUEUED = 16;

export interface StaffFlags extends QueueFlags {
  readonly workers?: number;
  readonly threads?: number;
}

export interface Staff {
  /** Each computes one task at a time. */
  readonly evaluators: readonly Evaluator[];
  /** Number of workers of other processes that are there now; null where that is not known or does not change. */
  numWorkers(): number | null;
  /** isDone: all rows are stored; otherwise what others have computed is kept for the sweep to go on */
  close(isDone: boolean): Promise<void>;
}

/** runs: the most tasks that there can be at once */
export function localStaff(flags: StaffFlags, setup: WorkerSetup, runs: number): Staff {
  const count = Math.max(1, Math.min(flags.workers ?? getPlatform().concurrency, runs));
  const evaluators =
    flags.workers === 0 ? [new LocalEvaluator(setup)] : Array.from({ length: count }, () => new WorkerProcess(setup));
  return {
    evaluators,
    numWorkers: () => null,
    async close() {
      await Promise.all(evaluators.map((evaluator) => evaluator.dispose()));
    },
  };
}

export interface OpenQueue {
  readonly place: QueuePlace;
  readonly library: QueueLibrary;
}

/**
 * The queue that the flags name, whose server answers; null without one.
 * @throws TurboQuantError — flags that do not go together, no BullMQ, no server
 */
export async function queueOf(flags: StaffFlags): Promise<OpenQueue | null> {
  if (flags.queue === undefined) {
    if (flags.queueName === undefined) return null;
    throw new TurboQuantError("invalid_argument", "--queue-name: expected --queue with it; name the server");
  }
  if (flags.workers === 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "--workers 0 evaluates in this process, and --queue elsewhere; leave one of them out",
    );
  }
  if (flags.threads !== undefined) {
    throw new TurboQuantError(
      "invalid_argument",
      "--threads: with --queue each worker has its own; pass it to turboquant sweep-worker",
    );
  }
  const place = queuePlace(flags.queue, flags.queueName);
  return { place, library: await openQueueLibrary(place) };
}

export interface QueueStaffOptions {
  readonly setup: WorkerSetup;
  /** Models of the space, and where they are on this host. */
  readonly models: readonly string[];
  readonly refOf: (model: string) => string;
  /** What the store was created as: sweeps of equal spaces in different stores do not share jobs. */
  readonly created: string;
  readonly note: (message: string) => void;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** Hands tasks to the workers of a queue. */
export async function queueStaff(
  { place, library }: OpenQueue,
  flags: StaffFlags,
  options: QueueStaffOptions,
): Promise<Staff> {
  const { setup, models, refOf, created, note, onProgress, signal } = options;
  const identities = new Map<string, string>();
  for (const model of models) identities.set(model, await modelIdentity(refOf(model), { onProgress, signal }));
  const queue = await TaskQueue.open(place, library, {
    sweepId: sha256Hex([new TextEncoder().encode(created)]).slice(0, 16),
    build: await buildName(),
    identities,
    setup,
    note,
  });
  if (queue.numWorkers === 0) {
    note(`no worker serves the queue yet; on any host: turboquant sweep-worker --queue ${shownUrl(place.url)}`);
  }
  return {
    evaluators: Array.from({ length: flags.workers ?? DEFAULT_QUEUED }, () => queue.evaluator()),
    numWorkers: () => queue.numWorkers,
    close: (isDone) => queue.close(isDone),
  };
}
