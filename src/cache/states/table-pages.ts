/** @file Pages in a block table: those that are missing, their release, their number. */
import type { PageLayout } from "../../quant/page-layout.ts";
import type { BlockTable } from "../block-table.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import type { MissingPage } from "./layer-state.ts";

export const range = (from: number, end: number): number[] =>
  Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i);

export function countPages(table: BlockTable): number {
  let pages = 0;
  for (const address of table.entries()) if (address) pages++;
  return pages;
}

/** Releases the pages of a range. */
export function dropRange(pool: PagePool, table: BlockTable, first: number, end: number): void {
  // Pages are released from the first on, so all pages before a missing one are missing as well.
  for (let index = Math.min(end, table.length) - 1; index >= first; index--) {
    const address = table.get(index);
    if (!address) return;
    pool.release(address);
    table.set(index, 0);
  }
}

/** Releases the pages from one on. */
export function dropFrom(pool: PagePool, table: BlockTable, first: number): void {
  for (let index = first; index < table.length; index++) {
    const address = table.get(index);
    if (address) pool.release(address);
  }
  table.truncate(first);
}

/** Pages for the positions [from, end) that a table lacks or shares. */
export function missingIn(
  pool: PagePool,
  table: BlockTable,
  layout: PageLayout,
  group: number,
  from: number,
  end: number,
  isNeeded: (pageStart: number) => boolean,
): MissingPage[] {
  const pages: MissingPage[] = [];
  for (let index = Math.floor(from / layout.pageTokens); index * layout.pageTokens < end; index++) {
    const replaces = table.get(index);
    if (replaces ? !pool.isShared(replaces) : !isNeeded(index * layout.pageTokens)) continue;
    const install = (address: PageAddress): (() => void) => {
      const before = table.length;
      table.set(index, address);
      return () => {
        table.set(index, replaces);
        table.truncate(before);
      };
    };
    pages.push({ pool, numBytes: layout.numBytes, group, replaces, install });
  }
  return pages;
}
