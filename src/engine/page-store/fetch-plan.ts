/**
 * @file Decides whether a prefix is fetched or computed, by what either is expected to take.
 *
 * Computing costs `tokens · msPerToken`, as the scheduler's steps with prompts have measured it. Fetching costs one answer of the store and
 * `bytes · msPerByte`, both averages of what fetches took. A store that is too slow is asked again after some refusals, as it may have become faster.
 */

/** Weight of the latest measurement in an average. */
const SHARE = 0.25;
/** One of so many fetches that are expected to be too slow is tried nevertheless. */
const TRIES = 64;

/** What a fetch would bring. */
export interface Prefix {
  /** Tokens that need not be computed then. */
  readonly tokens: number;
  /** Bytes to read. */
  readonly bytes: number;
}

/** Measured averages; null where nothing has been measured. */
export interface FetchRates {
  readonly latencyMs: number | null;
  readonly msPerByte: number | null;
  readonly msPerToken: number | null;
}

/** Expected time to compute a prefix; Infinity before a prompt has been computed. */
export const computeMs = ({ tokens }: Prefix, { msPerToken }: FetchRates): number =>
  msPerToken === null ? Number.POSITIVE_INFINITY : tokens * msPerToken;

/** Expected time to fetch a prefix; what was never measured counts nothing. */
export const fetchMs = ({ bytes }: Prefix, { latencyMs, msPerByte }: FetchRates): number =>
  (latencyMs ?? 0) + bytes * (msPerByte ?? 0);

export class FetchPlan {
  #latencyMs: number | null = null;
  #msPerByte: number | null = null;
  #refused = 0;

  /** msPerToken: see `FetchRates` */
  rates(msPerToken: number | null): FetchRates {
    return { latencyMs: this.#latencyMs, msPerByte: this.#msPerByte, msPerToken };
  }

  /** Whether to fetch. msPerToken: see `FetchRates` · limitMs: the longest that a fetch may take */
  isWorth(prefix: Prefix, msPerToken: number | null, limitMs = Number.POSITIVE_INFINITY): boolean {
    const rates = this.rates(msPerToken);
    if (fetchMs(prefix, rates) < Math.min(limitMs, computeMs(prefix, rates)) || ++this.#refused >= TRIES) {
      this.#refused = 0;
      return true;
    }
    return false;
  }

  /** An answer without values took `ms`. */
  onAnswer(ms: number): void {
    this.#latencyMs = average(this.#latencyMs, ms);
  }

  /** Values of `bytes` together took `ms`. */
  onRead(bytes: number, ms: number): void {
    if (bytes > 0) this.#msPerByte = average(this.#msPerByte, ms / bytes);
  }
}

const average = (before: number | null, now: number): number =>
  before === null ? now : before + SHARE * (now - before);
