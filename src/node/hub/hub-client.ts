/** @file Requests to the hub: redirects that do not take the token along, repetitions with growing waits, and silent connections. */
import { setTimeout as sleep } from "node:timers/promises";
import { TurboQuantError } from "../../errors.ts";
import { linkedAbort } from "../../linked-abort.ts";

/** Repetitions after failures that follow each other without a byte between them. */
const MAX_REPETITIONS = 5;
const MAX_REDIRECTS = 10;
/** A page of a file list has some hundred kilobytes. */
const MAX_JSON_BYTES = 64 * 2 ** 20;
/** A server that asks for a longer wait is not waited for. Limits of the hub count windows of five minutes. */
const LONGEST_WAIT_MS = 310_000;

export interface HubClientOptions {
  /** Scheme and host that get the token. */
  readonly endpoint: string;
  readonly token: string | null;
  readonly signal?: AbortSignal | undefined;
  /** Before the first repetition; it doubles from then on. */
  readonly firstWaitMs?: number | undefined;
  /** A connection that sends nothing for so long counts as broken. */
  readonly silenceMs?: number | undefined;
  /** Told when a wait begins: a sentence for people. */
  readonly onWait?: ((text: string) => void) | undefined;
}

/** An answer with an error status. */
export class HttpFailure extends Error {
  readonly status: number;
  /** The hub's word for what is wrong: RepoNotFound, GatedRepo, RevisionNotFound, EntryNotFound. */
  readonly code: string | null;
  readonly waitMs: number | null;

  constructor(status: number, headers: Headers) {
    super(`HTTP ${status}`);
    this.status = status;
    this.code = headers.get("x-error-code");
    this.waitMs = announcedWait(headers);
  }
}

/** A connection that broke, or an answer that is not what its headers said: the same request may work the next time. */
export class BrokenTransfer extends Error {}

export interface OpenResponse {
  readonly response: Response;
  /** The body, piece by piece; ends with an error when the connection is silent for too long. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export class HubClient {
  readonly #options: HubClientOptions;
  readonly #origin: string;
  /** The hub has answered: a failure to connect is then one of the network, not of the address. */
  #hasAnswered = false;

  constructor(options: HubClientOptions) {
    this.#options = options;
    this.#origin = new URL(options.endpoint).origin;
  }

  async json(url: string): Promise<{ value: unknown; headers: Headers }> {
    return this.repeat(() =>
      this.open(url, {}, async ({ response, chunks }) => {
        const parts: Uint8Array[] = [];
        let bytes = 0;
        for await (const chunk of chunks) {
          parts.push(chunk);
          bytes += chunk.length;
          if (bytes > MAX_JSON_BYTES) {
            throw new TurboQuantError("invalid_file", `hub: ${url} sends more than a list of files; check HF_ENDPOINT`);
          }
        }
        const text = Buffer.concat(parts).toString("utf8");
        try {
          return { value: JSON.parse(text) as unknown, headers: response.headers };
        } catch (cause) {
          throw new BrokenTransfer("expected JSON", { cause });
        }
      }),
    );
  }

  /**
   * Calls `attempt` until it succeeds, at most five times more in a row; `progress` is what was reached, and any advance makes the
   * count begin again. Errors that would only come again are thrown at once.
   */
  async repeat<T>(attempt: () => Promise<T>, progress: () => number = () => 0): Promise<T> {
    let reached = progress();
    for (let repetition = 0; ; repetition++) {
      try {
        return await attempt();
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        if (progress() > reached) repetition = 0;
        reached = progress();
        if (repetition >= MAX_REPETITIONS || !this.#mayWorkLater(error)) throw error;
        await this.#wait(error, repetition);
      }
    }
  }

  /** One request, redirects followed. @throws HttpFailure — the answer has an error status */
  async open<T>(
    url: string,
    headers: Readonly<Record<string, string>>,
    use: (open: OpenResponse) => Promise<T>,
  ): Promise<T> {
    const { silenceMs = 30_000, signal } = this.#options;
    const { controller: stop, release } = linkedAbort(signal);
    let timer: NodeJS.Timeout | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      const fire = () => stop.abort(new BrokenTransfer(`nothing came for ${Math.round(silenceMs / 1000)} s`));
      timer = setTimeout(fire, silenceMs);
    };
    heard();
    try {
      const response = await this.#follow(url, headers, stop.signal);
      this.#hasAnswered = true;
      if (!response.ok) {
        await response.body?.cancel();
        throw new HttpFailure(response.status, response.headers);
      }
      return await use({ response, chunks: listened(response, heard, stop.signal) });
    } finally {
      clearTimeout(timer);
      release();
      // Whatever of the body was not read is given up, so that the process can end.
      stop.abort(new BrokenTransfer("given up"));
    }
  }

  async #follow(first: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> {
    let url = new URL(first);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const { token } = this.#options;
      const response = await fetch(url, {
        redirect: "manual",
        signal,
        headers: {
          "User-Agent": "turboquant",
          // Ranges are of the bytes as stored.
          "Accept-Encoding": "identity",
          ...headers,
          ...(token && url.origin === this.#origin && { Authorization: `Bearer ${token}` }),
        },
      });
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
      await response.body?.cancel();
      const next = URL.canParse(location, url) ? new URL(location, url) : null;
      if (
        !next ||
        !["http:", "https:"].includes(next.protocol) ||
        (url.protocol === "https:" && next.protocol === "http:")
      ) {
        throw new TurboQuantError(
          "invalid_file",
          `hub: ${url.host} redirects to an address that is not safe; check HF_ENDPOINT`,
        );
      }
      url = next;
    }
    throw new TurboQuantError("invalid_file", `hub: ${url.host} redirects without an end; check HF_ENDPOINT`);
  }

  #mayWorkLater(error: unknown): boolean {
    if (error instanceof BrokenTransfer) return true;
    if (error instanceof HttpFailure) return error.status >= 500 || error.status === 408 || error.status === 429;
    const code = networkCode(error);
    if (code === null) return false;
    return (
      this.#hasAnswered ||
      !/^(network|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|CERT_.*|.*_CERT.*)$/.test(code)
    );
  }

  async #wait(error: unknown, repetition: number): Promise<void> {
    const { firstWaitMs = 1000, signal, onWait } = this.#options;
    // Shifted by up to a quarter, so that many clients of a server that failed do not come back at once.
    const own = firstWaitMs * 2 ** repetition * (0.75 + Math.random() / 2);
    const asked = error instanceof HttpFailure ? error.waitMs : null;
    if (asked !== null && asked > LONGEST_WAIT_MS) throw error;
    const wait = Math.max(asked ?? own, firstWaitMs);
    onWait?.(`the hub ${troubleOf(error)}; trying again in ${Math.max(1, Math.round(wait / 1000))} s`);
    await sleep(wait, undefined, signal ? { signal } : {});
  }
}

/**
 * Says each time that something came, and ends a loop over the body with the reason of the signal. A response forgets the signal of
 * its request when memory is collected, so a read that waits is ended by the reader itself.
 */
async function* listened(response: Response, heard: () => void, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const cancel = (): void => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", cancel);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return;
      heard();
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** Code of a system error below `fetch`, which reports every failure below HTTP as a TypeError; null for other errors. */
export function networkCode(error: unknown): string | null {
  if (!(error instanceof TypeError)) return null;
  const { cause } = error as { cause?: { code?: string } };
  return (
    cause?.code ?? (cause !== undefined || /fetch failed|terminated|network/i.test(error.message) ? "network" : null)
  );
}

/** What went wrong, after "the hub". */
export function troubleOf(error: unknown): string {
  if (error instanceof HttpFailure) {
    return error.status === 429 ? "has had too many requests (HTTP 429)" : `answered HTTP ${error.status}`;
  }
  if (error instanceof BrokenTransfer) return `broke off (${error.message})`;
  const code = networkCode(error);
  if (/^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/.test(String(code))) return "cut the connection";
  return code === null || code === "network" ? "cannot be reached" : `cannot be reached (${code})`;
}

/** `Retry-After` in seconds or as a date, or the `t` of the hub's `RateLimit: "resolvers";r=0;t=55`. */
function announcedWait(headers: Headers): number | null {
  const after = headers.get("retry-after")?.trim();
  if (after) {
    const ms = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now();
    return Number.isFinite(ms) ? Math.max(0, ms) : null;
  }
  const limit = /(?:^|;)\s*r=0\s*;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "");
  return limit ? Number(limit[1]) * 1000 : null;
}
