/** @file A checkpoint in Blobs: files that the user picked in a page, or that the page keeps in its own storage. */
import { TurboQuantError } from "../errors.ts";
import { checkRange, type FileSource } from "./file-source.ts";

export class BlobSource implements FileSource {
  readonly name: string;
  readonly #files: ReadonlyMap<string, Blob>;

  /** files: Blobs by file name inside the checkpoint · name: for messages */
  constructor(files: ReadonlyMap<string, Blob>, name = "files") {
    this.name = name;
    this.#files = files;
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async has(file: string): Promise<boolean> {
    return this.#files.has(file);
  }

  async size(file: string): Promise<number> {
    return this.#require(file).size;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    const blob = this.#require(file);
    checkRange(this, file, [start, end], blob.size, "pick it again");
    try {
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    } catch (cause) {
      // A picked file can no longer be read when it was changed or moved since.
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}/${file}: cannot be read any more (${cause instanceof Error ? cause.message : cause}); pick the folder again`,
        { file },
        { cause },
      );
    }
  }

  async close(): Promise<void> {}

  #require(file: string): Blob {
    const blob = this.#files.get(file);
    if (blob) return blob;
    throw new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: not found; pick the folder that holds config.json, tokenizer.json and *.safetensors`,
      { file },
    );
  }
}
