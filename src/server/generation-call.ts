/**
 * @file Submits one or several prompts to the scheduler and merges their pieces into one stream, which ends when nobody wants it
 * any more.
 */
import type { ScheduledChunk, ScheduleOptions } from "../engine/scheduler/request.ts";
import type { Scheduler } from "../engine/scheduler/scheduler.ts";
import { abortGroup } from "../linked-abort.ts";

export interface CallOptions {
  readonly scheduler: Scheduler;
  readonly options: ScheduleOptions;
  /** Its reason is what the stream throws when it is aborted. */
  readonly signal: AbortSignal;
}

/**
 * Submits all prompts at once and yields their pieces as they arrive; `index` counts continuations over all prompts.
 * @throws TurboQuantError of the scheduler, immediately
 */
export function callScheduler(
  prompts: readonly (readonly number[])[],
  call: CallOptions,
): AsyncGenerator<ScheduledChunk, void> {
  const stop = abortGroup(call.signal);
  const n = call.options.n ?? 1;
  const streams: AsyncGenerator<ScheduledChunk, void>[] = [];
  try {
    for (const ids of prompts) streams.push(call.scheduler.generate(ids, { ...call.options, signal: stop.create() }));
  } catch (error) {
    // Cancels the prompts that are already in the queue.
    stop.abort();
    stop.release();
    throw error;
  }
  return (async function* () {
    try {
      for await (const { source, item } of merge(streams)) {
        if (item.finishReason === "aborted") call.signal.throwIfAborted();
        yield { ...item, index: source * n + item.index };
      }
    } finally {
      stop.abort();
      stop.release();
    }
  })();
}

/** Yields the items of several streams in the order in which they arrive. */
async function* merge<T>(
  streams: readonly AsyncGenerator<T, void>[],
): AsyncGenerator<{ source: number; item: T }, void> {
  if (streams.length === 1) {
    for await (const item of streams[0]!) yield { source: 0, item };
    return;
  }
  const next = async (source: number) => ({ source, result: await streams[source]!.next() });
  const pending = new Map(streams.map((_, source) => [source, next(source)]));
  try {
    while (pending.size > 0) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done) {
        pending.delete(source);
        continue;
      }
      pending.set(source, next(source));
      yield { source, item: result.value };
    }
  } finally {
    for (const promise of pending.values()) promise.catch(() => {});
    // Not awaited: a stream that is waiting in `next` ends only when its signal does.
    for (const stream of streams) void stream.return().catch(() => {});
  }
}
