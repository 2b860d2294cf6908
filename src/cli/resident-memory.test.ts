import { expect, it } from "vitest";
import { ResidentMemory } from "./resident-memory.ts";

it("sees memory that was held for a moment only", () => {
  const memory = new ResidentMemory();
  const before = memory.bytesAfterGc();
  memory.resetPeak();
  const held = new Uint8Array(64 << 20).fill(1);
  memory.sample();
  // 64 MiB, less what the process may give back meanwhile.
  expect(memory.peak() - before).toBeGreaterThan(48 << 20);
  expect(held[5]).toBe(1);
});
