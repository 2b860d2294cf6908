/**
 * @file Reads ranges of a checkpoint ahead of their use: several at once, in a fixed order, and never more than a window of bytes.
 */
import type { Checkpoint } from "./checkpoint.ts";

/** Bytes that are being read or wait to be used. A server 100 ms away then gives 320 MB a second. */
export const WINDOW_BYTES = 32 << 20;
/** Reads at the same time. Browsers open six connections to a server of HTTP/1, and Node reads files in four threads. */
const MAX_READS = 8;
/** Smaller reads take memory of their own, so that they do not hold a whole buffer. */
const MIN_REUSED_BYTES = 64 << 10;

export interface ReadRange {
  readonly tensor: string;
  /** Bytes [start, end) of it. */
  readonly start: number;
  readonly end: number;
}

interface Ahead {
  readonly bytes: Promise<Uint8Array>;
  readonly numBytes: number;
  readonly buffer: Uint8Array<ArrayBuffer> | null;
}

export class ReadAhead {
  readonly #checkpoint: Pick<Checkpoint, "read">;
  readonly #ranges: Iterator<ReadRange>;
  readonly #pieceBytes: number;
  readonly #abort = new AbortController();
  /** In order, the next one to be used first. */
  readonly #ahead: Ahead[] = [];
  /** Cut from one allocation: an allocator gives one of more than 32 MiB back to the system at once, and may keep smaller ones. */
  #buffers: Uint8Array<ArrayBuffer>[] | null = null;
  #aheadBytes = 0;
  #waiting: ReadRange | undefined;
  #used: Ahead | undefined;

  /** pieceBytes: no range is longer, unless it is one row; 0 for memory of its own for every range */
  constructor(
    checkpoint: Pick<Checkpoint, "read">,
    ranges: Iterable<ReadRange>,
    pieceBytes: number,
    signal?: AbortSignal,
  ) {
    this.#checkpoint = checkpoint;
    this.#ranges = ranges[Symbol.iterator]();
    this.#pieceBytes = pieceBytes;
    const stop = (): void => this.#abort.abort(signal!.reason);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true, signal: this.#abort.signal });
    this.#advance();
  }

  /** The bytes of the next range, which are valid until the next call. @throws as `Checkpoint.read`, or the signal's reason */
  async next(): Promise<Uint8Array> {
    this.#release();
    this.#abort.signal.throwIfAborted();
    this.#advance();
    const next = this.#ahead.shift()!;
    this.#used = next;
    const bytes = await next.bytes;
    this.#abort.signal.throwIfAborted();
    return bytes;
  }

  /** Ends all reads and waits for them, so that files can be closed. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled([this.#used, ...this.#ahead].map((read) => read?.bytes));
    this.#used = undefined;
    this.#ahead.length = 0;
    this.#buffers = [];
  }

  /** Starts the reads that the window has room for; one always has. */
  #advance(): void {
    while (this.#ahead.length < MAX_READS) {
      this.#waiting ??= this.#take();
      if (!this.#waiting) return;
      const { tensor, start, end } = this.#waiting;
      const numBytes = end - start;
      if (this.#ahead.length > 0 && this.#aheadBytes + numBytes > WINDOW_BYTES) return;
      this.#waiting = undefined;
      const buffer = numBytes >= MIN_REUSED_BYTES && numBytes <= this.#pieceBytes ? this.#buffer() : null;
      const { signal } = this.#abort;
      const bytes = this.#checkpoint.read(tensor, start, end, { signal, ...(buffer && { into: buffer }) });
      // A read that fails is reported when it is its turn; until then nobody waits for it.
      bytes.catch(() => {});
      this.#ahead.push({ bytes, numBytes, buffer });
      this.#aheadBytes += numBytes;
    }
  }

  #take(): ReadRange | undefined {
    const next = this.#ranges.next();
    return next.done ? undefined : next.value;
  }

  #buffer(): Uint8Array<ArrayBuffer> {
    const size = this.#pieceBytes;
    // One for each read under way, and one that is in use.
    const count = MAX_READS + 1;
    if (!this.#buffers) {
      const all = new Uint8Array(count * size);
      this.#buffers = Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
    }
    return this.#buffers.pop()!;
  }

  #release(): void {
    const used = this.#used;
    this.#used = undefined;
    if (!used) return;
    this.#aheadBytes -= used.numBytes;
    if (used.buffer) this.#buffers!.push(used.buffer);
  }
}
