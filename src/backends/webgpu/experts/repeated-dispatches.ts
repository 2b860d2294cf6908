/** @file Dispatches of calls that steps of decoding repeat: looked up once for the same rows and buffers. */
import type { GpuBuffer } from "../queue/buffers.ts";
import type { Commands, PreparedDispatch } from "../queue/commands.ts";

interface CallSize {
  readonly rows: number;
  readonly add: boolean;
}

/** A call whose dispatches have been looked up. */
interface Known extends CallSize {
  readonly buffers: readonly GpuBuffer[];
  readonly dispatches: readonly PreparedDispatch[];
}

/** Buffers of activations that a layer meets: those of steps of one row and of several, before and after they have grown. */
const MOST_KNOWN = 4;

export class RepeatedDispatches<Key extends WeakKey> {
  readonly #commands: Commands;
  readonly #known = new WeakMap<Key, Known[]>();

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Runs the dispatches that `prepare` makes, which are kept for calls with the same buffers. */
  run(
    of: Key,
    { rows, add }: CallSize,
    buffers: readonly GpuBuffer[],
    prepare: () => readonly PreparedDispatch[],
  ): void {
    const known = this.#known.get(of) ?? [];
    let found = known.find(
      (other) => other.rows === rows && other.add === add && buffers.every((buffer, i) => buffer === other.buffers[i]),
    );
    if (!found) {
      found = { rows, add, buffers, dispatches: prepare() };
      this.#known.set(of, [...known.slice(1 - MOST_KNOWN), found]);
    }
    for (const dispatch of found.dispatches) this.#commands.run(dispatch);
  }
}
