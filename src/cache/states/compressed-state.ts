/**
 * @file Rows that stand for several tokens each, as in an indexer whose keys are means of neighbours.
 *
 * A row is there when the last of its tokens is. What is known of the tokens behind the last whole row is a state of fixed size of the same block, so
 * these rows by themselves can be cut back to any length, and the other state says where the two can.
 */
import type { KvState } from "./kv-state.ts";
import { type LayerState, type MissingPage, NO_PAGES, type SavedPage } from "./layer-state.ts";

export class CompressedState implements LayerState {
  /** The rows, which have the numbers 0, 1, … as tokens do elsewhere. */
  readonly rows: KvState;
  readonly tokensPerRow: number;
  #length: number;

  /** rows: owned by this state from now on, with those of `length` tokens */
  constructor(rows: KvState, tokensPerRow: number, length = 0) {
    this.rows = rows;
    this.tokensPerRow = tokensPerRow;
    this.#length = length;
  }

  get numBytes(): number {
    return this.rows.numBytes;
  }

  missingPages(count: number): readonly MissingPage[] {
    const rows = this.#rowsAhead(count);
    return rows === 0 ? NO_PAGES : this.rows.missingPages(rows);
  }

  commit(count: number): void {
    const rows = this.#rowsAhead(count);
    this.#length += count;
    if (rows > 0) this.rows.commit(rows);
  }

  keepable(length: number): number {
    const rows = this.#rowsOf(length);
    const kept = this.rows.keepable(rows);
    return kept === rows ? length : kept * this.tokensPerRow;
  }

  cutTo(length: number): void {
    this.rows.cutTo(this.#rowsOf(length));
    this.#length = length;
  }

  dropReserved(): void {
    this.rows.dropReserved();
  }

  markable(length: number): number {
    const rows = this.#rowsOf(length);
    const kept = this.rows.markable(rows);
    return kept === rows ? length : kept * this.tokensPerRow;
  }

  mark(): void {
    this.rows.mark();
  }

  fork(hasMarks: boolean): CompressedState {
    return new CompressedState(this.rows.fork(hasMarks), this.tokensPerRow, this.#length);
  }

  describe(): Readonly<Record<string, unknown>> {
    return { ...this.rows.describe(), kind: "compressed", tokensPerRow: this.tokensPerRow };
  }

  *savedPages(): Generator<SavedPage> {
    for (const page of this.rows.savedPages()) {
      const { sealed } = page;
      yield sealed ? { ...page, sealed: { ...sealed, since: sealed.since * this.tokensPerRow } } : page;
    }
  }

  release(): void {
    this.rows.release();
    this.#length = 0;
  }

  #rowsOf(length: number): number {
    return Math.floor(length / this.tokensPerRow);
  }

  /** Rows that the next `count` tokens end. */
  #rowsAhead(count: number): number {
    return this.#rowsOf(this.#length + count) - this.#rowsOf(this.#length);
  }
}
