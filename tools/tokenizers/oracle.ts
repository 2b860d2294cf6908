/** @file Asks the Python program beside this file. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

export class Oracle {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #interface: Interface;

  constructor(python: string) {
    this.#process = spawn(python, [fileURLToPath(new URL("oracle.py", import.meta.url))], {
      env: { ...process.env, PYTHONIOENCODING: "utf-8", TRANSFORMERS_VERBOSITY: "error" },
    });
    this.#interface = createInterface({ input: this.#process.stdout });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  async ask<T>(request: object): Promise<T> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the oracle ended; does its Python have tokenizers, jinja2 and transformers?");
    return JSON.parse(value as string) as T;
  }

  close(): void {
    this.#process.stdin.end();
    this.#interface.close();
  }
}
