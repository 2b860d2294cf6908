/** @file Runs steps of the model over sequences: prefill in chunks, and decoding of several sequences at once. */
import type { Buf, OnKernel, Span, Step } from "../backends/ops.ts";
import type { Draw } from "../backends/sampling-ops.ts";
import type { KvCache } from "../cache/kv-cache.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import type { Decoder } from "../models/decoder.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { Coarsening } from "./coarsening.ts";
import { makeRoomForPrompt } from "./expect-pages.ts";
import { yieldNow } from "./yield-now.ts";

/** The rows for which a prefill returns logits. */
export type LogitRows = "none" | "last" | "all";

export interface PrefillOptions {
  readonly logits?: LogitRows;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** A length of the sequence that a later cut may go back to (`Sequence.mark`). */
  readonly markAt?: number | undefined;
  /** See `Span.knownLength`. Default: the length behind these tokens. */
  readonly knownLength?: number | undefined;
  /** With `logits: "all"`, receives each chunk's logits ([count][vocabSize]) and the position of its first row. */
  readonly onLogits?: (logits: Float32Array, start: number, count: number) => void;
}

/** The tokens of one sequence in a step. */
export interface Work {
  readonly sequence: Sequence;
  readonly tokens: ArrayLike<number>;
  readonly logits: LogitRows;
  /** The last so many of the tokens stay reserved when the step is over, for the caller to commit or to drop; default 0. */
  readonly reserved?: number;
  /** Whether the rows are wanted as the head reads them, in place of their logits. Such works come last. */
  readonly isHidden?: boolean | undefined;
  /** Called when the sequence has been committed up to the end of a page, because only there a fork shares whole pages. */
  readonly onPageEnd?: (sequence: Sequence) => void;
  /** See `PrefillOptions.markAt`. */
  readonly markAt?: number | undefined;
  /** See `Span.knownLength`. */
  readonly knownLength?: number | undefined;
}

/** Makes one step of all tokens. order: the works whose logits come first, second, …, by index; default: as given */
function makeStep(works: readonly Work[], order?: readonly number[]): Step {
  const total = works.reduce((sum, work) => sum + work.tokens.length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const spans: Span[] = [];
  let row = 0;
  for (const { sequence, tokens: own, knownLength } of works) {
    const start = sequence.length;
    spans.push({ sequence, start, count: own.length, row, knownLength });
    for (let i = 0; i < own.length; i++) {
      tokens[row + i] = own[i]!;
      positions[row + i] = start + i;
    }
    row += own.length;
  }
  const logitRows: number[] = [];
  let hiddenRows = 0;
  for (let n = 0; n < works.length; n++) {
    const at = order?.[n] ?? n;
    const { row: first, count } = spans[at]!;
    const { logits, isHidden } = works[at]!;
    const before = logitRows.length;
    for (let i = logits === "all" ? 0 : count - 1; logits !== "none" && i < count; i++) logitRows.push(first + i);
    if (isHidden) hiddenRows += logitRows.length - before;
  }
  return { tokens, positions, spans, logitRows: Int32Array.from(logitRows), hiddenRows };
}

/** Commits in parts when something happens at an earlier length, because the residual window at that length is released afterwards. */
function commit({ sequence, tokens, reserved = 0, onPageEnd, markAt = 0, knownLength }: Work, decoder: Decoder): void {
  const end = sequence.length + tokens.length - reserved;
  const prompt = knownLength ?? end;
  const ropeLength = decoder.ropeLength(Math.max(prompt, end));
  // Tokens behind the prompt have their own.
  const isOne = prompt >= end || decoder.ropeLength(Math.max(prompt, sequence.length + 1)) === ropeLength;
  while (sequence.length < end) {
    const pageEnd = onPageEnd ? (Math.floor(sequence.length / PAGE_TOKENS) + 1) * PAGE_TOKENS : end;
    const next = Math.min(end, pageEnd, markAt > sequence.length ? markAt : end);
    sequence.commit(next - sequence.length, isOne ? ropeLength : null);
    if (next === markAt) sequence.mark();
    if (next === pageEnd) onPageEnd?.(sequence);
  }
}

export class Runner {
  readonly decoder: Decoder;
  /** The most tokens in one step. It limits the activations and the time between two checks of the abort signal. */
  readonly chunkTokens: number;
  readonly contextLength: number;

  readonly coarsening: Coarsening;

  /** chunkTokens: by default what suits the backend */
  constructor(decoder: Decoder, options: { chunkTokens?: number; contextLength: number }) {
    this.decoder = decoder;
    this.coarsening = new Coarsening(decoder);
    this.chunkTokens = options.chunkTokens ?? decoder.ops.chunkTokens;
    this.contextLength = options.contextLength;
  }

  /** Prepares what this runner's steps over `cache` need, before the first of them; see `Decoder.warmUp`. */
  warmUp(cache: KvCache, draws: readonly Draw[], onKernel?: OnKernel): Promise<void> {
    return this.decoder.warmUp(cache, this, draws, onKernel);
  }

  /**
   * Runs one step. When it fails, no sequence has advanced.
   * returns: logits [requested rows][vocabSize] in the order of the works
   */
  step(works: readonly Work[]): Promise<Float32Array> {
    const { ops, config } = this.decoder;
    return this.run(works, async (logits, { logitRows }) =>
      logits ? ops.readback(logits, logitRows.length * config.vocabSize) : new Float32Array(0),
    );
  }

  /**
   * Runs one step. `read` reads from the logits, which are valid until
   * the next step is queued. When it fails, no sequence has advanced.
   * order: of the works' logits, by index
   */
  run<T>(
    works: readonly Work[],
    read: (logits: Buf | null, step: Step) => Promise<T>,
    order?: readonly number[],
  ): Promise<T> {
    return this.#advance(works, (step) => read(this.decoder.queue(step), step), order);
  }

  /**
   * Runs one step up to the rows from which the head makes logits (`Decoder.headLogits`). When it fails, no sequence has advanced.
   * returns: [requested rows][hiddenSize] in the order of the works
   */
  stepToHead(works: readonly Work[]): Promise<Float32Array> {
    return this.#advance(works, (step) => this.decoder.forwardToHead(step));
  }

  async #advance<T>(
    works: readonly Work[],
    compute: (step: Step) => Promise<T>,
    order?: readonly number[],
  ): Promise<T> {
    const begun: Sequence[] = [];
    try {
      for (const { sequence, tokens, reserved = 0 } of works) {
        this.#checkContext(sequence.length + tokens.length);
        begun.push(sequence);
        // One after the other, so that a state of fixed size is left at each length that the sequence may get.
        const least = tokens.length - reserved;
        // Nothing grows coarser for tokens that may be dropped.
        for (let count = least; count <= tokens.length; count++) {
          this.#reserve(sequence, count, count > least ? [] : works);
        }
      }
      const step = makeStep(works, order);
      const result = await compute(step);
      for (const work of works) commit(work, this.decoder);
      return result;
    } catch (error) {
      for (const sequence of begun) sequence.dropReserved();
      throw error;
    }
  }

  /**
   * Appends `tokens` to a sequence chunk by chunk.
   * returns: the logits of the last position, unless `options.logits` says otherwise
   */
  async prefill(sequence: Sequence, tokens: ArrayLike<number>, options: PrefillOptions = {}): Promise<Float32Array> {
    const { logits = "last", signal, onProgress, onLogits, markAt } = options;
    this.#checkContext(sequence.length + tokens.length);
    const all = Int32Array.from(tokens);
    const { knownLength = sequence.length + all.length } = options;
    // What one step reads yields to memory only once it is committed.
    const chunkTokens = this.coarsening.isPossible ? Math.min(this.chunkTokens, 2 * PAGE_TOKENS) : this.chunkTokens;
    makeRoomForPrompt(sequence, all.length, chunkTokens);
    let last: Float32Array = new Float32Array(0);
    for (let at = 0; at < all.length; at += chunkTokens) {
      signal?.throwIfAborted();
      const chunk = all.subarray(at, at + chunkTokens);
      const isLast = at + chunk.length === all.length;
      const start = sequence.length;
      const rows = logits === "last" && !isLast ? "none" : logits;
      last = await this.step([{ sequence, tokens: chunk, logits: rows, markAt, knownLength }]);
      if (logits === "all") onLogits?.(last, start, chunk.length);
      onProgress?.(at + chunk.length, all.length);
      await yieldNow();
    }
    return last;
  }

  /** Reserves positions of a sequence; where memory is short and the format allows it, pages of the sequences of `works` grow coarser. */
  #reserve(sequence: Sequence, count: number, works: readonly Work[]): void {
    try {
      sequence.reserve(count);
    } catch (error) {
      const isFull = error instanceof TurboQuantError && error.code === "out_of_memory";
      const { pool } = sequence.cache;
      const fits = (): boolean => pool.numBytes + sequence.bytesToReserve(count) <= pool.budgetBytes;
      // Within the budget it is the storage that is full, which is not known to give back what is released.
      if (!isFull || fits()) throw error;
      const all = [...new Set(works.map((work) => work.sequence))];
      if (!this.coarsening.makeRoom(all, fits)) throw error;
      sequence.reserve(count);
    }
  }

  #checkContext(length: number): void {
    if (length <= this.contextLength) return;
    const more =
      this.contextLength < this.decoder.config.maxPositionEmbeddings
        ? "load with a larger contextLength (--ctx)"
        : "stretch the model's context, at some loss (--rope-scaling yarn with a larger --ctx)";
    throw new TurboQuantError(
      "invalid_argument",
      `prompt: ${length} tokens do not fit the context of ${this.contextLength}; shorten the prompt or ${more}`,
      { tokens: length, contextLength: this.contextLength },
    );
  }
}
