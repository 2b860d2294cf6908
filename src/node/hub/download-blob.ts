/** @file Downloads one file into the cache: goes on where an earlier attempt ended, and checks the hash before it gets its name. */
import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { BrokenTransfer, type HubClient, type OpenResponse } from "./hub-client.ts";
import { sizeOf } from "./repo-cache.ts";
import type { RemoteFile } from "./repository.ts";

/** What is there of a blob; other tools of the hub take names with this end for unfinished ones too. */
export const partialOf = (blob: string): string => `${blob}.turboquant.incomplete`;

export const isPartial = (name: string): boolean => name.endsWith(partialOf(""));

export interface BlobDownload {
  readonly client: HubClient;
  readonly url: string;
  readonly file: RemoteFile;
  /** Where it is to lie. */
  readonly blob: string;
  /** Told how many bytes are there; fewer than before when the beginning turns out to be wrong. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * When it fails or is aborted, what has come stays in `partialOf(blob)` for the next attempt. Returns how many bytes came now.
 * @throws TurboQuantError invalid_file — bytes of another hash; HttpFailure, BrokenTransfer and errors of `fetch` after repetitions
 */
export async function downloadBlob({ client, url, file, blob, onBytes }: BlobDownload): Promise<number> {
  await mkdir(dirname(blob), { recursive: true });
  const path = partialOf(blob);
  // Not truncated, and not in append mode: each write says where it belongs.
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT);
  const partial = new PartialFile(handle, path, file, onBytes);
  try {
    await partial.resume();
    const wasResumed = partial.bytes > 0;
    await fetchRest(client, url, partial);
    if (!partial.isRight() && wasResumed) {
      // The earlier part may have been damaged on the disk.
      await partial.restart();
      await fetchRest(client, url, partial);
    }
    if (!partial.isRight()) {
      await partial.restart();
      throw new TurboQuantError(
        "invalid_file",
        `hub: ${file.path}: ${file.size} bytes came that do not have the checksum the hub names; try again, and if it stays so, take another network or HF_ENDPOINT`,
        { file: file.path, hash: file.hash },
      );
    }
    await handle.datasync();
  } finally {
    await handle.close();
    if (partial.bytes === 0) await rm(path, { force: true });
  }
  await rename(path, blob).catch(async (error) => {
    // Another process was as far a moment earlier.
    if ((await sizeOf(blob)) !== file.size) throw error;
  });
  return partial.received;
}

async function fetchRest(client: HubClient, url: string, partial: PartialFile): Promise<void> {
  const attempt = async (open: OpenResponse): Promise<void> => {
    await partial.accept(open.response);
    for await (const chunk of open.chunks) await partial.append(chunk);
    partial.checkEnd();
  };
  await client.repeat(
    async () => {
      if (partial.isComplete) return;
      await client.open(url, partial.bytes > 0 ? { Range: `bytes=${partial.bytes}-` } : {}, attempt);
    },
    () => partial.bytes,
  );
}

class PartialFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #file: RemoteFile;
  readonly #onBytes: (bytes: number) => void;
  #hash: Hash;
  #bytes = 0;
  #received = 0;

  constructor(handle: FileHandle, path: string, file: RemoteFile, onBytes: (bytes: number) => void) {
    this.#handle = handle;
    this.#path = path;
    this.#file = file;
    this.#onBytes = onBytes;
    this.#hash = newHash(file);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What came over the network, repetitions included. */
  get received(): number {
    return this.#received;
  }

  get isComplete(): boolean {
    return this.#bytes === this.#file.size;
  }

  /** Reads what is there, for the hash. */
  async resume(): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size > this.#file.size) return await this.restart();
    if (size === 0) return;
    for await (const chunk of createReadStream(this.#path, { end: size - 1, highWaterMark: 1 << 20 })) {
      this.#take(chunk as Uint8Array);
    }
    this.#onBytes(this.#bytes);
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = newHash(this.#file);
    this.#bytes = 0;
    this.#onBytes(0);
  }

  /** Makes sure that the body begins where the file ends. */
  async accept(response: Response): Promise<void> {
    if (response.status !== 206) {
      // The server knows no ranges.
      if (this.#bytes > 0) await this.restart();
      return;
    }
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (Number(start) !== this.#bytes || (total !== "*" && Number(total) !== this.#file.size)) {
      throw new BrokenTransfer("it sent another range than was asked for");
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (this.#bytes + chunk.length > this.#file.size) {
      await this.restart();
      throw new BrokenTransfer("it sent more bytes than the file has");
    }
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#bytes + done);
      done += bytesWritten;
    }
    this.#received += chunk.length;
    this.#take(chunk);
    this.#onBytes(this.#bytes);
  }

  checkEnd(): void {
    if (!this.isComplete) throw new BrokenTransfer(`it sent ${this.#bytes} of ${this.#file.size} bytes`);
  }

  isRight(): boolean {
    return this.isComplete && this.#hash.copy().digest("hex") === this.#file.hash;
  }

  #take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }
}

/** Git hashes a header with the length before the bytes. */
const newHash = ({ algorithm, size }: RemoteFile): Hash =>
  algorithm === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
