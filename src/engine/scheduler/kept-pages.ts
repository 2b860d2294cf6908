/**
 * @file Tells a listener which pages prompts can find: those of kept prefixes that prompts may continue, each named by its chained hash.
 *
 * Entries of the prefix cache are sequences of any length that share pages; a router wants single pages. A page is told of when the first
 * entry that has it is kept, and again when the last one is gone. A page is never there without the pages before it.
 */
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { saltedRoot } from "./page-hashes.ts";

export type PageEvent =
  | {
      readonly kind: "stored";
      /** Of the page before the first one; null where they begin a prompt. */
      readonly parent: string | null;
      /** Of one page after the other (`pageHashes`). */
      readonly hashes: readonly string[];
      /** Of these pages, 64 each. */
      readonly tokens: readonly number[];
    }
  | { readonly kind: "removed"; readonly hashes: readonly string[] }
  /** Nothing is kept any more. */
  | { readonly kind: "cleared" };

export interface PageListener {
  /** Whose pages are told of (`ScheduleOptions.owner`); those of all others are not. */
  readonly owners: readonly string[];
  /** Called as pages come and go; must not wait. */
  onPages(event: PageEvent): void;
}

/** A prompt, its `pageHashes`, and the root that they begin with. */
export interface HashedTokens {
  readonly ids: readonly number[];
  readonly hashes: readonly string[];
  readonly root: string;
}

interface Page {
  readonly parent: string | null;
  /** Entries that end with this page, and pages that follow it. */
  uses: number;
}

export class KeptPages {
  readonly #listener: PageListener;
  readonly #roots: ReadonlySet<string>;
  readonly #pages = new Map<string, Page>();
  /** The last page of each entry. */
  readonly #ends = new Map<object, string>();

  constructor(listener: PageListener) {
    this.#listener = listener;
    this.#roots = new Set(listener.owners.map(saltedRoot));
  }

  /** An entry with the first `numPages` pages of a prompt is kept. */
  add(entry: object, { ids, hashes, root }: HashedTokens, numPages: number): void {
    if (numPages === 0 || !this.#roots.has(root)) return;
    let first = numPages;
    while (first > 0 && !this.#pages.has(hashes[first - 1]!)) first--;
    if (first > 0) this.#pages.get(hashes[first - 1]!)!.uses++;
    for (let i = first; i < numPages; i++) this.#pages.set(hashes[i]!, { parent: hashes[i - 1] ?? null, uses: 1 });
    this.#ends.set(entry, hashes[numPages - 1]!);
    if (first === numPages) return;
    this.#listener.onPages({
      kind: "stored",
      parent: hashes[first - 1] ?? null,
      hashes: hashes.slice(first, numPages),
      tokens: ids.slice(first * PAGE_TOKENS, numPages * PAGE_TOKENS),
    });
  }

  /** An entry is gone. One that was not added is nothing. */
  remove(entry: object): void {
    let hash = this.#ends.get(entry) ?? null;
    this.#ends.delete(entry);
    const gone: string[] = [];
    while (hash !== null) {
      const page: Page = this.#pages.get(hash)!;
      if (--page.uses > 0) break;
      this.#pages.delete(hash);
      gone.push(hash);
      hash = page.parent;
    }
    if (gone.length > 0) this.#listener.onPages({ kind: "removed", hashes: gone });
  }

  /** All entries are gone. */
  clear(): void {
    this.#ends.clear();
    if (this.#pages.size === 0) return;
    this.#pages.clear();
    this.#listener.onPages({ kind: "cleared" });
  }
}
