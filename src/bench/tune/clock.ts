/** @file Time of work on the device: by its own timestamps where it has them, by the host's clock elsewhere. */
import type { GpuContext } from "../../backends/webgpu/device/context.ts";
import type { Commands } from "../../backends/webgpu/queue/commands.ts";
import { timePasses } from "../../backends/webgpu/queue/pass-times.ts";

export interface Clock {
  /** Whether the device itself tells the time. */
  readonly isExact: boolean;
  /** Microseconds of one of `count` calls of `queue`, which queues dispatches. */
  time(queue: () => void, count: number): Promise<number>;
}

/** A sample takes about so long by the device's timestamps, and longer by the host's clock. */
const SAMPLE_US = 3000;
const HOST_SAMPLE_US = 8 * SAMPLE_US;

/** Number of calls of `queue` that make a sample, at most `most`. */
export async function callsOfSample(clock: Clock, queue: () => void, most: number): Promise<number> {
  await clock.time(queue, 1);
  const us = await clock.time(queue, 1);
  return Math.max(1, Math.min(most, Math.round((clock.isExact ? SAMPLE_US : HOST_SAMPLE_US) / us)));
}

export function deviceClock(context: GpuContext, commands: Commands): Clock {
  const { timestamps } = context.features;
  const read = timestamps ? timePasses(context.device) : null;
  return {
    isExact: timestamps,
    async time(queue, count) {
      commands.flush();
      const started = performance.now();
      for (let i = 0; i < count; i++) queue();
      commands.flush();
      if (read) {
        const nanoseconds = await context.wait(read());
        return nanoseconds / 1000 / count;
      }
      await context.wait(context.device.queue.onSubmittedWorkDone());
      return ((performance.now() - started) * 1000) / count;
    },
  };
}
