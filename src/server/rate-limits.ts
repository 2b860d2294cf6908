/**
 * @file What each client may ask for in a minute: requests, and tokens of prompts and answers.
 *
 * Two buckets a client, which hold what a minute allows and fill up evenly. A request is paid for when it comes. Nobody knows before how many tokens there
 * will be: the most that there may be are taken before the prompt is queued, so that requests under way together stay within the limit, and what was not
 * needed is given back at the end. What is overdrawn has to fill up first.
 */
import { formatCount } from "../format-number.ts";
import { ApiError } from "./api-error.ts";

const KINDS = ["requests", "tokens"] as const;
type Kind = (typeof KINDS)[number];

/** The most in a minute; absent: as many as come. */
export type RateLimit = Readonly<Partial<Record<Kind, number>>>;

interface Buckets {
  readonly left: Record<Kind, number>;
  /** When they were last filled. */
  at: number;
}

/** Tokens that were taken for a request that is under way. */
export interface Reservation {
  /** What a prompt and its answers came to. */
  use(tokens: number): void;
  /** Gives back what was not used. */
  end(): void;
}

/** Names of the headers of `RateLimits.headers`. */
export const RATE_HEADERS = KINDS.flatMap((kind) =>
  ["limit", "remaining", "reset"].map((what) => `x-ratelimit-${what}-${kind}`),
);

/** Clients that are remembered; without keys they are addresses, of which there are many. */
const MAX_CLIENTS = 10_000;
const MINUTE_MS = 60_000;

export class RateLimits {
  readonly #limit: Readonly<Record<Kind, number>>;
  readonly #clock: () => number;
  /** Those that asked last come last. */
  readonly #clients = new Map<string, Buckets>();

  /** clock: in milliseconds */
  constructor({ requests = Infinity, tokens = Infinity }: RateLimit, clock: () => number = () => performance.now()) {
    this.#limit = { requests, tokens };
    this.#clock = clock;
  }

  /** @throws ApiError 429 — the client has to wait, and for how long */
  admit(client: string): void {
    this.#checkLeft(client, KINDS);
    this.#bucketsOf(client).left.requests--;
  }

  /**
   * most: the tokens that a request may come to
   * @throws ApiError 429 — the client has none left
   */
  reserve(client: string, most: number): Reservation {
    this.#checkLeft(client, ["tokens"]);
    const take = (tokens: number): void => {
      this.#bucketsOf(client).left.tokens -= tokens;
    };
    take(most);
    let held = most;
    return {
      use(tokens) {
        const own = Math.min(held, tokens);
        held -= own;
        take(tokens - own);
      },
      end() {
        take(-held);
        held = 0;
      },
    };
  }

  /** What a client has left, in the headers that OpenAI has for it. */
  headers(client: string): Record<string, string> {
    const { left } = this.#bucketsOf(client);
    const limited = KINDS.filter((kind) => this.#limit[kind] < Infinity);
    return Object.fromEntries(
      limited.flatMap((kind) => [
        [`x-ratelimit-limit-${kind}`, String(this.#limit[kind])],
        [`x-ratelimit-remaining-${kind}`, String(Math.max(0, Math.floor(left[kind])))],
        [`x-ratelimit-reset-${kind}`, `${Math.ceil(this.#untilMs(kind, left[kind], this.#limit[kind]) / 1000)}s`],
      ]),
    );
  }

  #checkLeft(client: string, kinds: readonly Kind[]): void {
    const { left } = this.#bucketsOf(client);
    const waits = kinds.map((kind) => ({ kind, ms: this.#untilMs(kind, left[kind], 1) }));
    const { kind, ms } = waits.reduce((longest, wait) => (wait.ms > longest.ms ? wait : longest));
    if (ms === 0) return;
    const seconds = Math.ceil(ms / 1000);
    throw new ApiError(
      429,
      `rate limit: more than ${formatCount(this.#limit[kind])} ${kind} a minute; try again in ${seconds} s`,
      { code: "rate_limit_exceeded", headers: { "retry-after": String(seconds) } },
    );
  }

  /** How long it takes until there are `wanted` where there are `left`. In whole milliseconds, so that who waits as long is admitted. */
  #untilMs(kind: Kind, left: number, wanted: number): number {
    const missing = wanted - left;
    return missing > 0 ? Math.round((missing / this.#limit[kind]) * MINUTE_MS) : 0;
  }

  #bucketsOf(client: string): Buckets {
    const now = this.#clock();
    const known = this.#clients.get(client) ?? { left: { ...this.#limit }, at: now };
    const share = (now - known.at) / MINUTE_MS;
    for (const kind of KINDS) {
      const most = this.#limit[kind];
      if (most < Infinity) known.left[kind] = Math.min(most, known.left[kind] + share * most);
    }
    known.at = now;
    this.#clients.delete(client);
    if (this.#clients.size >= MAX_CLIENTS) {
      const [oldest] = this.#clients.keys();
      this.#clients.delete(oldest!);
    }
    this.#clients.set(client, known);
    return known;
  }
}
