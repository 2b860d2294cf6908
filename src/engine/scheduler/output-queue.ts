/** @file Passes pieces from the scheduler's loop to the reader of one request; they wait here until they are read. */

export class OutputQueue<T> {
  readonly #items: T[] = [];
  #end: { readonly error?: unknown } | null = null;
  #wake: (() => void) | null = null;

  push(item: T): void {
    if (this.#end) return;
    this.#items.push(item);
    this.#notify();
  }

  /** After the pushed pieces, readers get the end or this error. */
  close(...error: readonly [] | readonly [unknown]): void {
    this.#end ??= error.length > 0 ? { error: error[0] } : {};
    this.#notify();
  }

  /** For a single reader. */
  async *read(): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!;
      if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
