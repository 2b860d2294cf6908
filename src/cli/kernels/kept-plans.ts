/** @file The plans that a search has found, kept as they come. */
import type { TextShelf } from "../../platform.ts";

/**
 * The text of one name on a shelf, which each answer replaces. One that cannot be kept does not end the search, and the next, which has it
 * too, is tried again: what the last one failed of is said at the end, behind the result.
 */
export class KeptPlans {
  readonly #shelf: TextShelf;
  readonly #name: string;
  #place: string | null = null;
  #failure: unknown = null;

  constructor(shelf: TextShelf, name: string) {
    this.#shelf = shelf;
    this.#name = name;
  }

  /** Where everything that was put lies; null where nothing was, or the last could not be kept. */
  get place(): string | null {
    return this.#place;
  }

  async put(text: string): Promise<void> {
    this.#place = null;
    this.#failure = null;
    try {
      this.#place = await this.#shelf.keep(this.#name, text);
    } catch (error) {
      this.#failure = error;
    }
  }

  /** @throws what the last text failed of */
  end(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
