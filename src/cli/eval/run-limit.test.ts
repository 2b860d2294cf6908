import { expect, it, vi } from "vitest";
import { captureIo } from "../../../test/support/cli-io.ts";
import type { CommandContext } from "../context.ts";
import { limitOf } from "./run-limit.ts";

function contextOf() {
  const codes: number[] = [];
  const interrupt = vi.fn();
  let press = (): void => {};
  const context: CommandContext = {
    io: captureIo(),
    signal: new AbortController().signal,
    setInterrupt: (listener) => {
      press = listener;
    },
    loadCommands: async () => [],
    interrupt,
    setExitCode: (code) => codes.push(code),
  };
  return { context, codes, interrupt, press: () => press() };
}

it("Ctrl-C ends the command while nothing is known, and later the evaluation with what is; a second one the command", () => {
  const { context, codes, interrupt, press } = contextOf();
  const limit = limitOf(context, undefined);
  press();
  expect([interrupt.mock.calls.length, limit.isOver]).toEqual([1, false]);
  limit.known();
  press();
  expect([interrupt.mock.calls.length, limit.isOver, limit.isEnded, codes]).toEqual([1, true, true, [130]]);
  press();
  expect(interrupt).toHaveBeenCalledTimes(2);
});

it("what loading took is part of the time, and without a time there is no end", () => {
  expect(limitOf(contextOf().context, 60_000, 20_000).msLeft).toBeLessThanOrEqual(40_000);
  expect(limitOf(contextOf().context, 60_000, 90_000).msLeft).toBeLessThanOrEqual(1);
  expect(limitOf(contextOf().context, undefined, 90_000).msLeft).toBe(Number.POSITIVE_INFINITY);
});
