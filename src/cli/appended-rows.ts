/** @file Rows that a command appends to the file of `--out` as they come. */
import { appendFileSync } from "node:fs";

/**
 * JSON lines at the end of a file. After one that cannot be written none is tried, and the work goes on: what it failed of is said at the end,
 * behind the result.
 */
export class AppendedRows {
  readonly #path: string | undefined;
  #failure: unknown = null;

  /** path: undefined where no file is asked for */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  add(row: object): void {
    if (this.#path === undefined || this.#failure !== null) return;
    try {
      appendFileSync(this.#path, `${JSON.stringify(row)}\n`);
    } catch (error) {
      this.#failure = error instanceof Error ? Object.assign(error, { path: this.#path }) : error;
    }
  }

  /** @throws what the first row that was not written failed of */
  end(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
