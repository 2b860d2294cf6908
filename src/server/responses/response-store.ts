/** @file Responses that were stored, for requests that go on from them; in memory, the oldest given up first. */
import type { LooseMessage } from "./response-request.ts";

export interface StoredResponse {
  readonly response: Readonly<Record<string, unknown>>;
  /** The conversation up to its end, without instructions. */
  readonly messages: readonly LooseMessage[];
}

const MAX_RESPONSES = 1024;
const MAX_CHARACTERS = 1 << 26;

export class ResponseStore {
  readonly #stored = new Map<string, { readonly stored: StoredResponse; readonly size: number }>();
  #size = 0;

  /** Those of others are not found. */
  get(owner: string, id: string): StoredResponse | undefined {
    return this.#stored.get(keyOf(owner, id))?.stored;
  }

  add(owner: string, id: string, stored: StoredResponse): void {
    const size = JSON.stringify(stored).length;
    this.#stored.set(keyOf(owner, id), { stored, size });
    this.#size += size;
    for (const [key, { size: own }] of this.#stored) {
      if (this.#stored.size <= MAX_RESPONSES && this.#size <= MAX_CHARACTERS) return;
      this.#stored.delete(key);
      this.#size -= own;
    }
  }

  delete(owner: string, id: string): boolean {
    const found = this.#stored.get(keyOf(owner, id));
    this.#size -= found?.size ?? 0;
    return this.#stored.delete(keyOf(owner, id));
  }
}

const keyOf = (owner: string, id: string): string => JSON.stringify([owner, id]);
