/**
 * @file A recurrent state of fixed size, which every token replaces. One page is kept for each position that may be needed again.
 *
 * A step reads the page of its first position and writes a new page for the position after its last token. So steps that ran ahead
 * can be dropped, and forks never overwrite each other's pages. A step that passes the ends of KV pages also writes the state of
 * the last one before its last token, because prompts are shared, cut and marked at page ends.
 */
import { assert } from "../../errors.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import { type LayerState, MAX_MARKS, type MissingPage, type SavedPage } from "./layer-state.ts";

/** The state's entry in a snapshot's header. */
export interface RecurrentDescription {
  readonly kind: "recurrent";
  readonly numBytes: number;
}

export class RecurrentState implements LayerState {
  readonly pageBytes: number;
  /** The pool of its pages, in the memory where the layer is computed. */
  readonly pool: PagePool;
  /** See `PageStorage.allocate`. */
  readonly group: number;
  /** Pages by number of tokens: the state after that many tokens. */
  readonly #pages: Map<number, PageAddress>;
  #length: number;
  #marks: readonly number[] = [];

  constructor(pageBytes: number, group: number, pool: PagePool, from?: RecurrentState) {
    this.pageBytes = pageBytes;
    this.group = group;
    this.pool = pool;
    this.#pages = new Map(from ? from.#pages : []);
    this.#length = from ? from.#length : 0;
  }

  get numBytes(): number {
    return this.#pages.size * this.pageBytes;
  }

  /** The page with the state before the token at `position`. 0 stands for the state before all tokens, which is all zeros. */
  at(position: number): PageAddress {
    const address = this.#pages.get(position) ?? 0;
    assert(address !== 0 || position === 0, `the state before position ${position} is gone`);
    return address;
  }

  /** The pages that a step over positions [start, end) writes, by the number of tokens whose state they hold, ascending. */
  targets(start: number, end: number): (readonly [tokens: number, address: PageAddress])[] {
    return [...this.#pages].filter(([tokens]) => tokens > start && tokens <= end).sort((a, b) => a[0] - b[0]);
  }

  missingPages(count: number): MissingPage[] {
    const end = this.#length + count;
    // A prompt that is read again leaves its last token to compute, so the page end before it counts.
    const pageEnd = Math.floor((end - 1) / PAGE_TOKENS) * PAGE_TOKENS;
    const positions = [...new Set([pageEnd, end])].filter(
      (tokens) => tokens > this.#length && !this.#pages.has(tokens),
    );
    return positions.map((tokens) => ({
      pool: this.pool,
      numBytes: this.pageBytes,
      group: this.group,
      replaces: 0,
      install: (address) => {
        this.#pages.set(tokens, address);
        return () => void this.#pages.delete(tokens);
      },
    }));
  }

  commit(count: number): void {
    this.#length += count;
    const latest = this.keepable(this.#length);
    this.#drop((tokens) => tokens < latest && !this.#marks.includes(tokens));
  }

  keepable(length: number): number {
    let best = 0;
    for (const tokens of this.#pages.keys()) if (tokens <= length && tokens > best) best = tokens;
    return best;
  }

  cutTo(length: number): void {
    assert(length === 0 || this.#pages.has(length), `cut to ${length}, whose state is gone`);
    this.#length = length;
    this.#marks = this.#marks.filter((tokens) => tokens <= length);
    this.dropReserved();
  }

  dropReserved(): void {
    this.#drop((tokens) => tokens > this.#length);
  }

  markable(length: number): number {
    return Math.floor(length / PAGE_TOKENS) * PAGE_TOKENS;
  }

  mark(): void {
    if (!this.#pages.has(this.#length) || this.#marks.includes(this.#length)) return;
    this.#marks = [...this.#marks, this.#length].slice(-MAX_MARKS);
  }

  fork(hasMarks: boolean): RecurrentState {
    const copy = new RecurrentState(this.pageBytes, this.group, this.pool, this);
    for (const address of copy.#pages.values()) this.pool.retain(address);
    // A step writes every page that was reserved for it, so two sequences cannot share one that is yet to be written.
    copy.dropReserved();
    if (hasMarks) copy.#marks = this.#marks;
    else copy.commit(0);
    return copy;
  }

  describe(): RecurrentDescription & Readonly<Record<string, unknown>> {
    return { kind: "recurrent", numBytes: this.pageBytes };
  }

  *savedPages(): Generator<SavedPage> {
    if (this.#length === 0) return;
    yield { pool: this.pool, address: this.at(this.#length), numBytes: this.pageBytes, blank: () => {} };
  }

  /** Ends a restore: `address` holds the state after `length` tokens. */
  adopt(length: number, address: PageAddress): void {
    this.#length = length;
    if (length > 0) this.#pages.set(length, address);
  }

  release(): void {
    this.#length = 0;
    this.#marks = [];
    this.dropReserved();
  }

  #drop(isGone: (tokens: number) => boolean): void {
    for (const [tokens, address] of this.#pages) {
      if (!isGone(tokens)) continue;
      this.pool.release(address);
      this.#pages.delete(tokens);
    }
  }
}
