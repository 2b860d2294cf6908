/**
 * @file One sequence in the cache: a number of tokens, and one state for each block that keeps something.
 *
 * A step is `reserve` → the backend writes and attends → `commit`. Further steps may run on positions that are reserved but not
 * committed; `dropReserved` takes such positions back.
 */
import { assert, TurboQuantError } from "../errors.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheParts } from "./cache-parts.ts";
import { CompressedState } from "./states/compressed-state.ts";
import { KvState } from "./states/kv-state.ts";
import { type LayerState, type MissingPage, NO_PAGES } from "./states/layer-state.ts";
import { RecurrentState } from "./states/recurrent-state.ts";

export class Sequence {
  readonly cache: CacheParts;
  /** One state for each slot of the cache, in the same order. */
  readonly states: readonly LayerState[];
  readonly #kv: readonly KvState[];
  readonly #recurrent: readonly RecurrentState[];
  #length = 0;
  #ropeLength: number | null;
  #released = false;

  /**
   * states: one for each slot of the cache, each holding `length` tokens; from now on they are owned by this sequence · ropeLength: that of
   * the tokens
   */
  constructor(
    cache: CacheParts,
    states: readonly LayerState[] = cache.slots.map((slot) => slot.create()),
    length = 0,
    ropeLength: number | null = 0,
  ) {
    this.cache = cache;
    this.#ropeLength = ropeLength;
    this.states = states;
    this.#kv = states.flatMap((state) => {
      if (state instanceof CompressedState) return state.rows;
      return state instanceof KvState ? state : [];
    });
    this.#recurrent = states.filter((state) => state instanceof RecurrentState);
    this.#length = length;
  }

  /** Number of committed tokens. */
  get length(): number {
    return this.#length;
  }

  /**
   * Where ropes depend on the length of a prompt, the length that those of all tokens were made for (`Decoder.ropeLength`); null when tokens
   * have different ones, as when an answer grew beyond the length of training. 0 in all other models.
   */
  get ropeLength(): number | null {
    return this.#ropeLength;
  }

  /** Keys and values of a layer, or rows that stand for several tokens each. `layer` counts only layers that have keys and values. */
  kv(layer: number): KvState {
    const state = this.#kv[layer];
    assert(state, `layer ${layer} of ${this.#kv.length}`);
    return state;
  }

  /** Number of states of fixed size. */
  get numRecurrent(): number {
    return this.#recurrent.length;
  }

  /** A state of fixed size. `index` counts only states of this kind. */
  recurrent(index: number): RecurrentState {
    const state = this.#recurrent[index];
    assert(state, `recurrent state ${index} of ${this.#recurrent.length}`);
    return state;
  }

  /** Block table of a layer's main pages; entry p covers positions [p·pageTokens, (p+1)·pageTokens). */
  main(layer: number): BlockTable {
    return this.kv(layer).main;
  }

  /** Block tables of a layer's coarser tiers; entries are as in `main`. */
  tiers(layer: number): readonly BlockTable[] {
    return this.kv(layer).tiers;
  }

  /** Block table of a layer's pages of sinks and window; 0 where there is no page. */
  residual(layer: number): BlockTable {
    return this.kv(layer).residual;
  }

  /** See `KvState.residualStart`. */
  residualStart(layer: number): number {
    return this.kv(layer).residualStart;
  }

  /** Whether it has other codes than its tokens and the format alone give, as pages were made coarser for want of memory. */
  get isPressed(): boolean {
    return this.#kv.some((state) => state.isPressed);
  }

  /** Bytes of this sequence's pages; pages shared with forks count in full. */
  get numBytes(): number {
    return this.states.reduce((sum, state) => sum + state.numBytes, 0);
  }

  /** Bytes that `reserve(count)` would allocate now. */
  bytesToReserve(count: number): number {
    return this.#missingPages(count).reduce((sum, page) => sum + page.numBytes, 0);
  }

  /**
   * Allocates what positions [length, length + count) lack; pages shared with a fork are replaced by copies.
   * @throws TurboQuantError out_of_memory — the sequence is as before
   */
  reserve(count: number): void {
    assert(!this.#released, "reserve on a released sequence");
    const missing = this.#missingPages(count);
    if (missing.length === 0) return;
    const undo: (() => void)[] = [];
    const bytes = missing.reduce((sum, page) => sum + page.numBytes, 0);
    if (bytes > 0) this.cache.pool.require(bytes);
    try {
      for (const { pool, numBytes, group, replaces, install } of missing) {
        const address = pool.allocate(numBytes, group);
        let putBack = (): void => {};
        undo.push(() => {
          pool.release(address);
          putBack();
        });
        if (replaces) pool.storage.copy(replaces, address, numBytes);
        putBack = install(address);
      }
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    for (const { pool, replaces } of missing) if (replaces) pool.release(replaces);
  }

  /**
   * Ends a step: `count` reserved tokens become part of the sequence, and pages that no later token can read are released.
   * ropeLength: see there; of these tokens
   */
  commit(count: number, ropeLength: number | null = 0): void {
    assert(!this.#released, "commit to a released sequence");
    for (const state of this.states) state.commit(count);
    if (this.#length === 0) this.#ropeLength = ropeLength;
    else if (this.#ropeLength !== ropeLength) this.#ropeLength = null;
    this.#length += count;
  }

  /** Releases the pages of positions that are reserved but not committed. */
  dropReserved(): void {
    for (const state of this.states) state.dropReserved();
  }

  /** A second sequence with the same tokens. The two share pages until one of them writes (copy-on-write). */
  fork(): Sequence {
    assert(!this.#released, "fork of a released sequence");
    const states = this.states.map((state) => state.fork(true));
    return new Sequence(this.cache, states, this.#length, this.#ropeLength);
  }

  /** A fork of the committed tokens alone, without reserved positions and without marks. */
  forkCommitted(): Sequence {
    assert(!this.#released, "fork of a released sequence");
    const states = this.states.map((state) => state.fork(false));
    const copy = new Sequence(this.cache, states, this.#length, this.#ropeLength);
    copy.dropReserved();
    return copy;
  }

  /**
   * Retains what is needed to cut the sequence back to its present length later; the last few marks are kept. A state that cannot
   * be kept at this length ignores the call, and `cutTo` then goes back further.
   */
  mark(): void {
    for (const state of this.states) state.mark();
  }

  /** The longest length, at most `length`, at which `mark` works for every state. */
  markable(length: number): number {
    return this.states.reduce((least, state) => Math.min(least, state.markable(least)), length);
  }

  /** The longest length, at most `length`, to which the sequence can be cut so that it equals, bit for bit, one that was never longer. */
  keepable(length: number): number {
    let kept = length;
    for (;;) {
      const least = this.states.reduce((least, state) => Math.min(least, state.keepable(kept)), kept);
      if (least === kept) return kept;
      kept = least;
    }
  }

  /**
   * Drops the tokens from position `length` on, and as many before it as are needed for an exact result: the 16-bit copies of
   * earlier tokens may have been released when the window moved on, and a recurrent state may have been overwritten. What follows
   * then equals, bit for bit, what follows in a sequence that was never longer. The caller appends the tokens in between again.
   *
   * returns: number of tokens left, at most `length`
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
   * Drops exactly the tokens from position `length` on. The result may be inexact: until the residual window has refilled,
   * attention reads codes where a sequence that was never longer would read 16-bit copies. Use `cutTo` for an exact cut.
   * @throws TurboQuantError invalid_argument — `length` is not from 0 to the present length, or within a page of a coarser tier
   */
  trim(length: number): void {
    this.#checkLength("trim", length);
    const areAll = this.states.every((state) => state instanceof KvState);
    assert(areAll, "trim of a sequence whose states cannot be cut anywhere");
    if (this.#kv.some((state) => !state.isTruncatable(length))) {
      throw new TurboQuantError(
        "invalid_argument",
        `trim: ${length} is within pages that have grown coarser, which take no more tokens; use cutTo`,
        { length },
      );
    }
    for (const state of this.#kv) state.truncate(length);
    this.#length = length;
  }

  /** Releases every page. May be called again. */
  release(): void {
    if (this.#released) return;
    for (const state of this.states) state.release();
    this.#length = 0;
    this.#released = true;
  }

  /** Pages for positions [length, length + count) that this sequence lacks or shares with a fork. */
  #missingPages(count: number): readonly MissingPage[] {
    let all: MissingPage[] | null = null;
    for (const state of this.states) {
      const pages = state.missingPages(count);
      if (pages.length === 0) continue;
      all ??= [];
      all.push(...pages);
    }
    return all ?? NO_PAGES;
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
