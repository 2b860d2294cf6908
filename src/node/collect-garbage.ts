/**
 * @file Collects garbage at once, where it is known that there is much. Memories of WASM lie outside of the heap, whose size alone makes Node look
 * for garbage: gigabytes that nothing refers to any more would stay.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/** Takes the time of a full collection, some tens of milliseconds. Does nothing where Node does not let it. */
export function collectGarbage(): void {
  collect ??= collector();
  collect();
}

function collector(): () => void {
  const given = (globalThis as { gc?: () => void }).gc;
  if (given) return given;
  try {
    // Contexts that are made from then on have the function.
    setFlagsFromString("--expose-gc");
    return runInNewContext("gc") as () => void;
  } catch {
    return () => {};
  }
}
