/** @file Where a sweep's queue is: a Redis or Valkey server by its URL and a name on it, reached through BullMQ where that is installed. */
import type { Redis } from "ioredis";
import { TurboQuantError } from "../../../errors.ts";

type BullMQ = typeof import("bullmq");

/** What keys of the queue begin with on the server. */
export const KEY_PREFIX = "turboquant";
const DEFAULT_QUEUE_NAME = "sweep";

export interface QueuePlace {
  readonly url: string;
  readonly name: string;
}

export interface QueueLibrary {
  readonly bullmq: BullMQ;
  /** A connection that waits and tries again for as long as the server does not answer. */
  connect(): Redis;
}

/** The URL without user and password, for messages. */
export function shownUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/**
 * The place that `--queue` and `--queue-name` mean.
 * @throws TurboQuantError invalid_argument — no URL of a Redis server, or a name that cannot be part of a key
 */
export function queuePlace(url: string, name = DEFAULT_QUEUE_NAME): QueuePlace {
  const isRedis = URL.canParse(url) && ["redis:", "rediss:"].includes(new URL(url).protocol);
  if (!isRedis || new URL(url).hostname === "") {
    throw new TurboQuantError(
      "invalid_argument",
      "--queue: expected the URL of a Redis or Valkey server, such as redis://host:6379/0",
    );
  }
  if (!/^[\w.-]+$/.test(name)) {
    throw new TurboQuantError(
      "invalid_argument",
      `--queue-name: expected letters, digits, dots and dashes, got ${JSON.stringify(name)}`,
      { name },
    );
  }
  return { url, name };
}

async function loadLibraries(): Promise<{ bullmq: BullMQ; ioredis: typeof import("ioredis") }> {
  try {
    return { bullmq: await import("bullmq"), ioredis: await import("ioredis") };
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "--queue: needs BullMQ and its Redis client, which are not installed; npm install bullmq ioredis",
      {},
      { cause },
    );
  }
}

/**
 * Loads what speaks to the server, and asks the server once.
 * @throws TurboQuantError unsupported — not installed; invalid_argument — the server does not answer, or refuses
 */
export async function openQueueLibrary({ url }: QueuePlace): Promise<QueueLibrary> {
  const { bullmq, ioredis } = await loadLibraries();
  const probe = new ioredis.Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  let reason: Error | undefined;
  // What `connect` throws only says that the connection is closed; the event says why.
  probe.on("error", (error) => {
    reason ??= error;
  });
  try {
    await probe.connect();
    await probe.ping();
  } catch (error) {
    const { message, code } = (reason ?? error) as NodeJS.ErrnoException;
    throw new TurboQuantError(
      "invalid_argument",
      `--queue ${shownUrl(url)}: no Redis or Valkey server answers there (${message || code}); start one, or check the URL`,
      {},
      { cause: error },
    );
  } finally {
    probe.disconnect();
  }
  return { bullmq, connect: () => new ioredis.Redis(url, { maxRetriesPerRequest: null }) };
}
