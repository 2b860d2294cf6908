/**
 * @file Reads ranges of a checkpoint ahead of their use: several at once, in a fixed order, and never more than a window of bytes.
 */
import type { Checkpoint } from "./checkpoint.ts";

/** Bytes that are being read or wait to be used. A server 100 ms away then gives 320 MB a second. */
export const WINDOW_BYTES = 32 << 20;
/** Smaller reads take memory of their own, so that they do not hold a whole buffer. */
const MIN_REUSED_BYTES = 64 << 10;

/** How a checkpoint is read. */
export interface ReadPlan {
  /** Of a range at most, unless it is one row. */
  readonly pieceBytes: number;
  /** Reads at the same time. */
  readonly reads: number;
}

/** Long pieces, since each is a request. Browsers open six connections to a server of HTTP/1. */
const REMOTE: ReadPlan = { pieceBytes: 4 << 20, reads: 8 };
/** Pieces that are still in a processor's cache when they are converted, and take longer to be converted than threads to be woken. */
const LOCAL: ReadPlan = { pieceBytes: 1 << 20, reads: 2 };

export const readPlanOf = ({ isLocal }: Pick<Checkpoint, "isLocal">): ReadPlan => (isLocal ? LOCAL : REMOTE);

/** Bytes of the buffers that go round: one for each read under way, and one that is in use. */
export const bufferBytes = ({ pieceBytes, reads }: ReadPlan): number => (reads + 1) * pieceBytes;

export interface ReadRange {
  readonly tensor: string;
  /** Bytes [start, end) of it. */
  readonly start: number;
  readonly end: number;
}

interface Ahead {
  readonly bytes: Promise<Uint8Array>;
  readonly numBytes: number;
  readonly buffer: Uint8Array | null;
}

export interface ReadAheadOptions {
  /** `bufferBytes` of it, for the buffers that go round; absent: each range has memory of its own. */
  readonly memory?: Uint8Array;
  readonly signal?: AbortSignal;
}

export class ReadAhead {
  readonly #checkpoint: Pick<Checkpoint, "read">;
  readonly #ranges: Iterator<ReadRange>;
  readonly #plan: ReadPlan;
  readonly #abort = new AbortController();
  /** In order, the next one to be used first. */
  readonly #ahead: Ahead[] = [];
  readonly #buffers: Uint8Array[];
  #aheadBytes = 0;
  #waiting: ReadRange | undefined;
  #used: Ahead | undefined;

  constructor(
    checkpoint: Pick<Checkpoint, "read">,
    ranges: Iterable<ReadRange>,
    plan: ReadPlan,
    { memory, signal }: ReadAheadOptions = {},
  ) {
    this.#checkpoint = checkpoint;
    this.#ranges = ranges[Symbol.iterator]();
    this.#plan = plan;
    const { pieceBytes, reads } = plan;
    const count = memory ? reads + 1 : 0;
    this.#buffers = Array.from({ length: count }, (_, i) => memory!.subarray(i * pieceBytes, (i + 1) * pieceBytes));
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
    this.#buffers.length = 0;
  }

  /** Starts the reads that the window has room for; one always has. */
  #advance(): void {
    while (this.#ahead.length < this.#plan.reads) {
      this.#waiting ??= this.#take();
      if (!this.#waiting) return;
      const { tensor, start, end } = this.#waiting;
      const numBytes = end - start;
      if (this.#ahead.length > 0 && this.#aheadBytes + numBytes > WINDOW_BYTES) return;
      this.#waiting = undefined;
      const isPiece = numBytes >= MIN_REUSED_BYTES && numBytes <= this.#plan.pieceBytes;
      const buffer = (isPiece && this.#buffers.pop()) || null;
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

  #release(): void {
    const used = this.#used;
    this.#used = undefined;
    if (!used) return;
    this.#aheadBytes -= used.numBytes;
    if (used.buffer) this.#buffers.push(used.buffer);
  }
}
