/** @file Streams whose readers have gone: what goes wrong then is not lost. */
import { expect, it } from "vitest";
import { clientLeft } from "./api-error.ts";
import { eventStream } from "./event-stream.ts";

/** The errors that were told when a reader left a generator that ends with `error`. */
async function errorsAfterLeaving(error: Error): Promise<unknown[]> {
  const errors: unknown[] = [];
  let fail = (): void => {};
  const failing = new Promise<void>((_, reject) => {
    fail = () => reject(error);
  });
  const events = (async function* () {
    yield {};
    await failing;
  })();
  const ends: boolean[] = [];
  const listener = {
    onStreamError: (told: unknown) => void errors.push(told),
    onStreamEnd: (hasLeft: boolean) => void ends.push(hasLeft),
  };
  const reader = eventStream(events, listener).body!.getReader();
  await reader.read();
  // The next piece is asked for by then.
  await new Promise(setImmediate);
  const left = reader.cancel();
  fail();
  await left;
  expect(ends).toEqual([true]);
  return errors;
}

it("a fault behind a reader that has gone is told, and that it has gone is none", async () => {
  const fault = new Error("device lost");
  expect(await errorsAfterLeaving(fault)).toEqual([fault]);
  expect(await errorsAfterLeaving(clientLeft())).toEqual([]);
});
