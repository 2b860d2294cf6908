/** @file A checkpoint in a local directory, read by byte range without loading whole files. */
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { TurboQuantError } from "../errors.ts";
import { checkRange, type FileSource, type ReadOptions, tooShort } from "../formats/file-source.ts";
import { nameOfPlace } from "../formats/model-name.ts";
import { isSafeFileName } from "../formats/safe-file-name.ts";

/** The most bytes for one read call; libuv refuses more than 2 GiB − 1. */
const MAX_READ_BYTES = 1 << 30;

interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
}

export class DirectorySource implements FileSource {
  readonly name: string;
  readonly modelName: string;
  readonly weights?: string;
  readonly isLocal = true;
  readonly directory: string;
  readonly #files = new Map<string, Promise<OpenFile>>();

  /**
   * name: for messages; by default the directory, but an embedded model or a hub id has a name of its own
   * weights: the file in it that was named as the model
   */
  constructor(directory: string, name = directory, weights?: string) {
    this.directory = directory;
    this.name = name;
    this.modelName = name === directory ? nameOfPlace(resolve(directory)) : name;
    if (weights !== undefined) this.weights = weights;
  }

  async list(): Promise<string[]> {
    const entries = await readdir(this.directory, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  }

  async has(file: string): Promise<boolean> {
    if (!isSafeFileName(file)) return false;
    return await stat(join(this.directory, file)).then(
      (info) => info.isFile(),
      () => false,
    );
  }

  async size(file: string): Promise<number> {
    return (await this.#open(file)).size;
  }

  async read(file: string, start: number, end: number, { into }: ReadOptions = {}): Promise<Uint8Array> {
    const { handle, size } = await this.#open(file);
    checkRange(this, file, [start, end], size);
    const length = end - start;
    const bytes = into && into.length >= length ? into.subarray(0, length) : new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle
        .read(bytes, done, Math.min(MAX_READ_BYTES, length - done), start + done)
        .catch((error: unknown) => {
          throw this.#problem(file, readProblem(error), error);
        });
      if (bytesRead === 0) throw tooShort(this, file, end, start + done);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    for (const file of files) await file.then(({ handle }) => handle.close()).catch(() => {});
  }

  #open(file: string): Promise<OpenFile> {
    let opened = this.#files.get(file);
    if (!opened) {
      opened = this.#openFile(file);
      this.#files.set(file, opened);
      // A file that failed to open may be there on the next try.
      opened.catch(() => this.#files.delete(file));
    }
    return opened;
  }

  async #openFile(file: string): Promise<OpenFile> {
    if (!isSafeFileName(file)) {
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}: expected a file inside the checkpoint, got "${file}"; do not trust this checkpoint`,
      );
    }
    let handle: FileHandle | undefined;
    try {
      handle = await open(join(this.directory, file), "r");
      const info = await handle.stat();
      if (info.isFile()) return { handle, size: info.size };
    } catch (error) {
      await handle?.close();
      throw this.#problem(file, openProblem(error), error);
    }
    await handle.close();
    throw new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: expected a file, got something else; check the directory`,
      { file },
    );
  }

  #problem(file: string, what: string, cause: unknown): TurboQuantError {
    return new TurboQuantError("invalid_file", `${this.name}/${file}: ${what}`, { file }, { cause });
  }
}

function openProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOENT")
    return "not found; the checkpoint is incomplete, copy or download it again, or name the folder or the .gguf file that has the model";
  if (code === "EACCES" || code === "EPERM") return "no permission to read it; change its permissions";
  if (code === "EMFILE") return "too many open files; raise the limit (ulimit -n)";
  return readProblem(error);
}

const readProblem = (error: unknown): string =>
  `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}); check the disk`;
