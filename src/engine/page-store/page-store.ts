/** @file A store of parts of the cache that several processes share. Backends for folders, Redis and S3 are in `node/page-store`. */

/**
 * Values by key. Any of them may be gone at any time, and several processes write at once: a key determines its value, so it does not matter who is
 * last. Callers check what they get, so a backend need not.
 */
export interface PageStore {
  /** For people; without passwords. */
  readonly name: string;
  /**
   * Which of the keys are there, in their order. Keys are 64 hex digits.
   * @throws whatever goes wrong; the caller goes on without the store
   */
  has(keys: readonly string[], signal: AbortSignal): Promise<readonly boolean[]>;
  /** The value; null where there is none, or one of more than `mostBytes`. */
  get(key: string, mostBytes: number, signal: AbortSignal): Promise<Uint8Array | null>;
  put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface PageStoreOptions {
  /** Open; the caller closes it. */
  readonly store: PageStore;
  /** The longest time that a request waits for a prefix; default 5,000. */
  readonly timeoutMs?: number;
  /** The most bytes of prefixes that are being fetched for all requests; default 512 MiB. */
  readonly fetchBytes?: number;
  /** The most bytes that wait to be written; what comes beyond that is not stored. Default 256 MiB. */
  readonly queueBytes?: number;
  /** Fetch where that is expected to be faster than to compute (the default), or wherever the store has more. */
  readonly fetch?: FetchWhen;
  /** Told, in one line, when the store begins to fail and when it works again. */
  readonly onNote?: (message: string) => void;
  /** Milliseconds, by which a store that fails is left alone for a while; default: the process's own. */
  readonly now?: () => number;
}

export const FETCH_WHEN = ["faster", "always"] as const;
export type FetchWhen = (typeof FETCH_WHEN)[number];

export const DEFAULT_STORE_TIMEOUT_MS = 5_000;
export const DEFAULT_FETCH_BYTES = 512 * 2 ** 20;
export const DEFAULT_QUEUE_BYTES = 256 * 2 ** 20;
