/** @file JSON files that are made when they are asked for: readers get their content as it is, and who asks for bytes its text. */
import { TurboQuantError } from "../errors.ts";
import { checkRange, type FileSource } from "./file-source.ts";
import type { JsonObject } from "./json-file.ts";

export class MadeFiles implements FileSource {
  readonly name: string;
  readonly #files: ReadonlyMap<string, () => JsonObject>;

  /** files: what makes the content of each, which nobody changes · name: for messages */
  constructor(files: Readonly<Record<string, () => JsonObject>>, name: string) {
    this.name = name;
    this.#files = new Map(Object.entries(files));
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async has(file: string): Promise<boolean> {
    return this.#files.has(file);
  }

  json(file: string): JsonObject | undefined {
    return this.#files.get(file)?.();
  }

  async size(file: string): Promise<number> {
    return this.#text(file).length;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    const text = this.#text(file);
    checkRange(this, file, [start, end], text.length);
    return text.slice(start, end);
  }

  async close(): Promise<void> {}

  #text(file: string): Uint8Array {
    const content = this.json(file);
    if (content) return new TextEncoder().encode(JSON.stringify(content));
    throw new TurboQuantError("invalid_file", `${this.name}/${file}: not found; the model has no such file`, { file });
  }
}
