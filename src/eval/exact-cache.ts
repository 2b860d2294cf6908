/**
 * @file What the exact cache gave on a text, kept so that it is computed once: within a run for all formats, and on disk for later runs.
 *
 * Of a text the rows that the model's head reads are kept (`Decoder.forwardToHead`): hiddenSize numbers a token in place of vocabSize
 * logits, from which the head makes the same logits bit by bit. So nothing is lost, and of the base's work only the head is left.
 */
import type { LLM } from "../engine/llm.ts";

/** Where entries are kept. An entry that is damaged, or that cannot be read or written, counts as absent. */
export interface EntryStore {
  /** The largest entry that is kept, in bytes. */
  readonly maxBytes: number;
  get(key: string): Promise<Uint8Array | null>;
  /** parts: of the entry, one behind the other */
  put(key: string, parts: readonly Uint8Array[]): Promise<void>;
}

/** Entries of one model, computed in one way with one base. */
export class ExactCache {
  readonly #store: EntryStore;
  readonly #scope: string;
  readonly #width: number;

  /** base: the exact format, as `--kv` takes it */
  constructor(store: EntryStore, { weightsFingerprint, ops, decoder, config }: LLM, base: string) {
    this.#store = store;
    this.#width = config.hiddenSize;
    // Weights may be kept otherwise than they are stored, which their bytes tell, and positions be turned otherwise than they were trained.
    this.#scope = JSON.stringify([weightsFingerprint, base, ops.describe(), decoder.weightBytes, config.rope]);
  }

  /** The rows of a text, [tokens][hiddenSize], or null. */
  async rows(tokens: Int32Array): Promise<Float32Array | null> {
    const entry = await this.#store.get(this.#keyOfRows(tokens));
    if (entry?.length !== 4 * tokens.length * this.#width) return null;
    // A copy only where the bytes do not begin at a multiple of four.
    const { buffer, byteOffset } = entry.byteOffset % 4 === 0 ? entry : new Uint8Array(entry);
    return new Float32Array(buffer, byteOffset, entry.length / 4);
  }

  /** Whether the rows of so many tokens are kept, so that nobody collects those that are not. */
  takesRows(tokens: number): boolean {
    return 4 * tokens * this.#width <= this.#store.maxBytes;
  }

  /** blocks: of rows, in the order of the tokens */
  keepRows(tokens: Int32Array, blocks: readonly Float32Array[]): Promise<void> {
    const parts = blocks.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
    return this.#store.put(this.#keyOfRows(tokens), parts);
  }

  #keyOfRows = (tokens: Int32Array): string => `${this.#scope} rows ${tokens.join()}`;

  /** What `compute` gives for an input, from the store where it is known. */
  async result<T>(what: string, input: unknown, compute: () => Promise<T>): Promise<T> {
    const key = `${this.#scope} ${what} ${JSON.stringify(input)}`;
    const entry = await this.#store.get(key);
    if (entry) return JSON.parse(new TextDecoder().decode(entry)) as T;
    const result = await compute();
    await this.#store.put(key, [new TextEncoder().encode(JSON.stringify(result))]);
    return result;
  }
}
