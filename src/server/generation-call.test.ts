import { expect, it } from "vitest";
import type { ScheduledChunk, ScheduleOptions } from "../engine/scheduler/request.ts";
import type { Scheduler } from "../engine/scheduler/scheduler.ts";
import { callScheduler } from "./generation-call.ts";

type Stream = (signal: AbortSignal) => AsyncGenerator<ScheduledChunk, void>;

const chunk = (index: number, text: string, more: Partial<ScheduledChunk> = {}): ScheduledChunk =>
  ({ index, text, ...more }) as ScheduledChunk;

/** A scheduler whose n-th call yields what the n-th stream does. */
function schedulerOf(...streams: Stream[]): Scheduler {
  const generate = (_: readonly number[], { signal }: ScheduleOptions) => {
    const stream = streams.shift();
    if (!stream) throw new Error("no room");
    return stream(signal as AbortSignal);
  };
  return { generate } as unknown as Scheduler;
}

const call = (
  scheduler: Scheduler,
  count: number,
  options: ScheduleOptions = {},
  signal = new AbortController().signal,
) =>
  callScheduler(
    Array.from({ length: count }, () => [1]),
    { scheduler, options, signal },
  );

it("pieces come in the order in which they arrive, numbered over all prompts", async () => {
  let letGo = (): void => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const slow: Stream = async function* () {
    await gate;
    yield chunk(1, "slow");
  };
  const quick: Stream = async function* () {
    yield chunk(0, "one");
    yield chunk(1, "two");
    letGo();
  };
  const pieces: [number, string][] = [];
  for await (const { index, text } of call(schedulerOf(slow, quick), 2, { n: 2 })) pieces.push([index, text]);
  expect(pieces).toEqual([
    [2, "one"],
    [3, "two"],
    [1, "slow"],
  ]);
});

/** Never yields; its end is that of the signal. */
const untilAborted = (ended: string[]): Stream =>
  async function* (signal) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    ended.push("aborted");
    yield chunk(0, "", { finishReason: "aborted" });
  };

it("a reader that leaves ends all streams", async () => {
  const ended: string[] = [];
  const first: Stream = async function* () {
    yield chunk(0, "a");
  };
  for await (const _ of call(schedulerOf(first, untilAborted(ended)), 2)) break;
  await new Promise((resolve) => setTimeout(resolve));
  expect(ended).toEqual(["aborted"]);
});

it("the error of one stream is the caller's, and the others end", async () => {
  const ended: string[] = [];
  // biome-ignore lint/correctness/useYield: it fails before it yields
  const failing: Stream = async function* () {
    throw new Error("device lost");
  };
  await expect(call(schedulerOf(untilAborted(ended), failing), 2).next()).rejects.toThrow("device lost");
  await new Promise((resolve) => setTimeout(resolve));
  expect(ended).toEqual(["aborted"]);
});

it("a prompt that is refused takes those before it back", () => {
  let signal: AbortSignal | undefined;
  const first: Stream = (given) => {
    signal = given;
    return untilAborted([])(given);
  };
  expect(() => call(schedulerOf(first), 2)).toThrow("no room");
  expect(signal?.aborted).toBe(true);
});

it("what nobody wants any more ends with the reason", async () => {
  const stop = new AbortController();
  const next = call(schedulerOf(untilAborted([]), untilAborted([])), 2, {}, stop.signal).next();
  stop.abort(new Error("time is up"));
  await expect(next).rejects.toThrow("time is up");
});
