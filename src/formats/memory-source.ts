/** @file A checkpoint in memory, for files picked in a page, tools and tests. */
import { TurboQuantError } from "../errors.ts";
import { checkRange, type FileSource } from "./file-source.ts";

/** A view without the methods of Node's Buffer, whose `slice` does not copy. */
const plain = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

export class MemorySource implements FileSource {
  readonly name: string;
  readonly modelName?: string;
  readonly #files: ReadonlyMap<string, Uint8Array>;

  /** name: for messages · modelName: see `FileSource.modelName` */
  constructor(files: Readonly<Record<string, Uint8Array | string>>, name = "memory", modelName?: string) {
    this.name = name;
    if (modelName !== undefined) this.modelName = modelName;
    const encoder = new TextEncoder();
    this.#files = new Map(
      Object.entries(files).map(([file, data]) => [
        file,
        typeof data === "string" ? encoder.encode(data) : plain(data),
      ]),
    );
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async has(file: string): Promise<boolean> {
    return this.#files.has(file);
  }

  async size(file: string): Promise<number> {
    return this.#require(file).length;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    const bytes = this.#require(file);
    checkRange(this, file, [start, end], bytes.length);
    return bytes.slice(start, end);
  }

  async close(): Promise<void> {}

  #require(file: string): Uint8Array {
    const bytes = this.#files.get(file);
    if (!bytes)
      throw new TurboQuantError("invalid_file", `${this.name}/${file}: not found; the checkpoint is incomplete`, {
        file,
      });
    return bytes;
  }
}
