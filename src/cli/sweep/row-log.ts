/**
 * @file An append-only log of JSON lines. Each line is on disk before
 * the next one is written, and a full disk leaves no partial line.
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { storeError } from "./store-errors.ts";

/** The file operations of a log, as an interface so that tests can simulate a full disk. */
export interface LogFile {
  write(bytes: Uint8Array, at: number): number;
  sync(): void;
  truncate(length: number): void;
  close(): void;
}

function openFile(path: string): { file: LogFile; length: number } {
  const descriptor = openSync(path, "a+");
  return {
    length: fstatSync(descriptor).size,
    file: {
      write: (bytes, at) => writeSync(descriptor, bytes, at),
      sync: () => fsyncSync(descriptor),
      truncate: (length) => ftruncateSync(descriptor, length),
      close: () => closeSync(descriptor),
    },
  };
}

export class RowLog {
  readonly #path: string;
  readonly #file: LogFile;
  #length: number;

  private constructor(path: string, file: LogFile, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /** Opens a log for appending and cuts it to `goodBytes`, which removes a line whose process was killed while writing. */
  static open(path: string, goodBytes: number, open: typeof openFile = openFile): RowLog {
    const { file, length } = open(path);
    if (length > goodBytes) {
      file.truncate(goodBytes);
      file.sync();
    }
    return new RowLog(path, file, goodBytes);
  }

  /**
   * Adds one line and waits until it is on disk.
   * @throws TurboQuantError out_of_memory — the disk is full; the log is as it was before
   */
  append(row: object): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(row)}\n`);
    try {
      for (let at = 0; at < bytes.length; ) at += this.#file.write(bytes, at);
      this.#file.sync();
      this.#length += bytes.length;
    } catch (cause) {
      // Making a file shorter needs no space.
      this.#file.truncate(this.#length);
      throw storeError(cause, this.#path);
    }
  }

  close(): void {
    this.#file.close();
  }
}
