/**
 * @file One sequence in the cache: a number of tokens, and for each block that keeps something its state.
 *
 * A step is `reserve` → backend writes and attends → `commit`. Steps may run ahead on positions that are reserved only;
 * `dropReserved` takes them back without a trace.
 */
import { assert, TurboQuantError } from "../errors.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheParts } from "./cache-parts.ts";
import { KvState } from "./states/kv-state.ts";
import type { LayerState, MissingPage } from "./states/layer-state.ts";
import { RecurrentState } from "./states/recurrent-state.ts";

export class Sequence {
  readonly cache: CacheParts;
  /** In the order of the cache's slots. */
  readonly states: readonly LayerState[];
  readonly #kv: readonly KvState[];
  readonly #recurrent: readonly RecurrentState[];
  #length = 0;
  #released = false;

  /** states: of the cache's slots, all of `length` tokens; this sequence's own from now on */
  constructor(cache: CacheParts, states: readonly LayerState[] = cache.slots.map((slot) => slot.create()), length = 0) {
    this.cache = cache;
    this.states = states;
    this.#kv = states.filter((state) => state instanceof KvState);
    this.#recurrent = states.filter((state) => state instanceof RecurrentState);
    this.#length = length;
  }

  /** Committed tokens. */
  get length(): number {
    return this.#length;
  }

  /** Keys and values of a layer, counted among the layers that have them. */
  kv(layer: number): KvState {
    const state = this.#kv[layer];
    assert(state, `layer ${layer} of ${this.#kv.length}`);
    return state;
  }

  /** A state of fixed size, counted among those of its kind. */
  recurrent(index: number): RecurrentState {
    const state = this.#recurrent[index];
    assert(state, `recurrent state ${index} of ${this.#recurrent.length}`);
    return state;
  }

  /** Block table of every token of a layer; entry p covers positions [p·pageTokens, (p+1)·pageTokens). */
  main(layer: number): BlockTable {
    return this.kv(layer).main;
  }

  /** Block table of a layer's 16-bit pages; absent pages are 0. */
  residual(layer: number): BlockTable {
    return this.kv(layer).residual;
  }

  /** See `KvState.residualStart`. */
  residualStart(layer: number): number {
    return this.kv(layer).residualStart;
  }

  /** Bytes of this sequence's pages, pages shared with forks counted in full. */
  get numBytes(): number {
    return this.states.reduce((sum, state) => sum + state.numBytes, 0);
  }

  /** Bytes that `reserve(count)` would allocate now. */
  bytesToReserve(count: number): number {
    return this.#missingPages(count).reduce((sum, page) => sum + page.numBytes, 0);
  }

  /**
   * Makes the pages of positions [length, length + count) present and this sequence's own.
   * @throws TurboQuantError out_of_memory — the sequence is as before
   */
  reserve(count: number): void {
    assert(!this.#released, "reserve on a released sequence");
    const { pool } = this.cache;
    const undo: (() => void)[] = [];
    const missing = this.#missingPages(count);
    const bytes = missing.reduce((sum, page) => sum + page.numBytes, 0);
    if (bytes > 0) pool.require(bytes);
    try {
      for (const { numBytes, group, replaces, place } of missing) {
        const address = pool.allocate(numBytes, group);
        let putBack = (): void => {};
        undo.push(() => {
          pool.release(address);
          putBack();
        });
        if (replaces) pool.storage.copy(replaces, address, numBytes);
        putBack = place(address);
      }
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    for (const { replaces } of missing) if (replaces) pool.release(replaces);
  }

  /** Ends a step: `count` reserved tokens are now part of the sequence, and what no later token can need is given back. */
  commit(count: number): void {
    assert(!this.#released, "commit to a released sequence");
    for (const state of this.states) state.commit(count);
    this.#length += count;
  }

  /** Takes back positions that are reserved only. */
  dropReserved(): void {
    for (const state of this.states) state.dropReserved();
  }

  /** A second sequence with the same tokens; pages are shared until one of the two writes to them. */
  fork(): Sequence {
    assert(!this.#released, "fork of a released sequence");
    const states = this.states.map((state) => state.fork(true));
    return new Sequence(this.cache, states, this.#length);
  }

  /** A fork without positions that are reserved only, and without the lengths that were marked. */
  forkCommitted(): Sequence {
    assert(!this.#released, "fork of a released sequence");
    const states = this.states.map((state) => state.fork(false));
    const copy = new Sequence(this.cache, states, this.#length);
    copy.dropReserved();
    return copy;
  }

  /**
   * Keeps what it takes to come back to the present length later, for the last few lengths that were marked. A state that
   * cannot be kept at this length is left as it is: `cutTo` then goes back further.
   */
  mark(): void {
    for (const state of this.states) state.mark();
  }

  /** The longest length, at most `length`, at which `mark` works. */
  markable(length: number): number {
    return this.states.reduce((least, state) => Math.min(least, state.markable(least)), length);
  }

  /** The longest length, at most `length`, to which this sequence can be cut and be as if it had never been longer. */
  keepable(length: number): number {
    let kept = length;
    for (;;) {
      const least = this.states.reduce((least, state) => Math.min(least, state.keepable(kept)), kept);
      if (least === kept) return kept;
      kept = least;
    }
  }

  /**
   * Drops tokens from position `length` on, and as many before it as cannot be had to the bit: their 16-bit copies were given
   * back when the window moved on, or a state was replaced. What follows is then equal to what follows in a sequence that was
   * never longer; the caller appends the tokens in between once more.
   *
   * returns: the tokens that are left, at most `length`
   * @throws TurboQuantError invalid_argument — `length` is not from 0 to the present length
   */
  cutTo(length: number): number {
    this.#checkLength("cutTo", length);
    const kept = this.keepable(length);
    for (const state of this.states) state.cutTo(kept);
    this.#length = kept;
    return kept;
  }

  /**
   * Drops tokens from position `length` on whether or not what was before is left to the bit: until the window has refilled,
   * attention reads codes where a sequence that was never longer reads 16-bit copies. `cutTo` is the exact one.
   * @throws TurboQuantError invalid_argument — `length` is not from 0 to the present length
   */
  trim(length: number): void {
    this.#checkLength("trim", length);
    assert(this.#kv.length === this.states.length, "trim of a sequence whose states cannot be cut anywhere");
    for (const state of this.#kv) state.truncate(length);
    this.#length = length;
  }

  /** Gives every page back. Idempotent. */
  release(): void {
    if (this.#released) return;
    for (const state of this.states) state.release();
    this.#length = 0;
    this.#released = true;
  }

  /** Pages that positions [length, length + count) need and this sequence does not have for itself. */
  #missingPages(count: number): MissingPage[] {
    return this.states.flatMap((state) => state.missingPages(count));
  }

  #checkLength(what: string, length: number): void {
    if (Number.isInteger(length) && length >= 0 && length <= this.#length) return;
    throw new TurboQuantError(
      "invalid_argument",
      `${what}: expected a length from 0 to ${this.#length}, got ${length}`,
      { length },
    );
  }
}
