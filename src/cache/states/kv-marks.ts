/** @file Lengths that keys and values can be cut back to, with the pages of those lengths that later commits may release. */
import type { BlockTable } from "../block-table.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import { MAX_MARKS } from "./layer-state.ts";

/** Retained pages, each with its index in a block table. */
type MarkedPages = readonly (readonly [index: number, address: PageAddress])[];

interface Mark {
  readonly length: number;
  readonly residualStart: number;
  /** One for each block table of the state, in its order. */
  readonly pages: readonly MarkedPages[];
}

export class KvMarks {
  readonly #pool: PagePool;
  #marks: readonly Mark[] = [];

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** The latest mark of at most `length` tokens. */
  at(length: number): Mark | undefined {
    return this.#marks.findLast((mark) => mark.length <= length);
  }

  get latest(): Mark | undefined {
    return this.#marks.at(-1);
  }

  /** Retains pages of a table for a mark. */
  retain(table: BlockTable, indices: readonly number[]): MarkedPages {
    const pages = indices.map((index) => [index, table.get(index)] as const);
    for (const [, address] of pages) this.#pool.retain(address);
    return pages;
  }

  /** mark: with pages of `retain` */
  add(mark: Mark): void {
    const marks = [...this.#marks, mark];
    for (const old of marks.slice(0, -MAX_MARKS)) this.#release(old);
    this.#marks = marks.slice(-MAX_MARKS);
  }

  /** Takes over the marks of a state that is forked. */
  copy(from: KvMarks): void {
    this.#marks = from.#marks;
    for (const { pages } of this.#marks) for (const [, address] of pages.flat()) this.#pool.retain(address);
  }

  dropBeyond(length: number): void {
    this.#dropIf((mark) => mark.length > length);
  }

  /** Gives up a page of the table at `at`, and the marks that end in it. pageTokens: of its pages */
  forget(at: number, index: number, pageTokens: number): void {
    this.#dropIf(({ length }) => length > index * pageTokens && length < (index + 1) * pageTokens);
    this.#marks = this.#marks.map((mark) => {
      const gone = mark.pages[at]!.filter(([page]) => page === index);
      if (gone.length === 0) return mark;
      for (const [, address] of gone) this.#pool.release(address);
      return {
        ...mark,
        pages: mark.pages.with(
          at,
          mark.pages[at]!.filter(([page]) => page !== index),
        ),
      };
    });
  }

  /** Number of retained pages that are not in the table at `at` any more. */
  countApart(at: number, table: BlockTable): number {
    const apart = new Set<PageAddress>();
    for (const mark of this.#marks) {
      for (const [index, address] of mark.pages[at]!) if (table.get(index) !== address) apart.add(address);
    }
    return apart.size;
  }

  /** Puts a mark's pages into the tables again. */
  restore({ pages }: Mark, tables: readonly BlockTable[]): void {
    for (const [at, table] of tables.entries()) {
      for (const [index, address] of pages[at]!) {
        const present = table.get(index);
        if (present === address) continue;
        // This is the copy that was made before a later token was written to the mark's last, partly filled page.
        if (present) this.#pool.release(present);
        this.#pool.retain(address);
        table.set(index, address);
      }
    }
  }

  #dropIf(isGone: (mark: Mark) => boolean): void {
    const gone = this.#marks.filter(isGone);
    if (gone.length === 0) return;
    this.#marks = this.#marks.filter((mark) => !gone.includes(mark));
    for (const mark of gone) this.#release(mark);
  }

  #release({ pages }: Mark): void {
    for (const [, address] of pages.flat()) this.#pool.release(address);
  }
}
