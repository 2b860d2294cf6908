/** @file Shared pages in Redis or Valkey. The client package is loaded when it is asked for, and is the user's to install. */
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";

type Library = typeof import("ioredis");

/** In front of each key, as others may use the same database. */
const PREFIX = "turboquant:";
/** The longest pause between attempts to connect. */
const LONGEST_PAUSE_MS = 2_000;
/** How long a server that takes the connection, and is silent or still loads its data, is waited for. */
const READY_MS = 2_000;

export interface RedisStoreOptions {
  /** How long a value is kept behind its last writing. */
  readonly keepSeconds: number;
}

/** Schemes as the client calls them. */
const SCHEMES: Readonly<Record<string, string>> = {
  "redis:": "redis:",
  "valkey:": "redis:",
  "rediss:": "rediss:",
  "valkeys:": "rediss:",
};

/**
 * address: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss:` with TLS, or `valkey:`. A server that is not there yet is connected to
 * when it is; until then all that is asked of the store fails
 *
 * @throws TurboQuantError invalid_argument — not such an address; unsupported — the client is not installed
 */
export async function openRedisStore(address: string, { keepSeconds }: RedisStoreOptions): Promise<PageStore> {
  const url = parsed(address);
  const { Redis } = await loadClient();
  const client = new Redis(url.href, {
    // What cannot be sent now is not wanted later.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(LONGEST_PAUSE_MS, 25 * 2 ** Math.min(times, 10)),
  });
  /** Why there is no connection; what is asked meanwhile says it. */
  let fault: unknown = null;
  // Whichever comes first: requests of the first second are to find a server that is there.
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, READY_MS);
    const resolveNow = (): void => {
      clearTimeout(timer);
      resolve();
    };
    client.on("ready", () => {
      fault = null;
      resolveNow();
    });
    client.on("error", (error: unknown) => {
      fault = error;
      resolveNow();
    });
    client.on("close", resolveNow);
  });
  const connected = (): typeof client => {
    if (client.status !== "ready") throw fault ?? new Error("not connected");
    return client;
  };
  return {
    name: `${url.protocol}//${url.host}${url.pathname}`,
    async has(keys) {
      const answers = await connected()
        .pipeline(keys.map((key) => ["exists", PREFIX + key]))
        .exec();
      return keys.map((_, i) => {
        const [error, count] = answers?.[i] ?? [new Error("no answer"), 0];
        if (error) throw error;
        return count === 1;
      });
    },
    async get(key, mostBytes) {
      // One byte more than is wanted shows a value that is too long, however long it is.
      const value = await connected().getrangeBuffer(PREFIX + key, 0, mostBytes);
      return value.length === 0 || value.length > mostBytes ? null : new Uint8Array(value);
    },
    async put(key, value) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
      await connected().set(PREFIX + key, bytes, "EX", keepSeconds);
    },
    async close() {
      client.disconnect();
    },
  };
}

function parsed(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : null;
  const isDatabase = url !== null && /^(\/\d*)?$/.test(url.pathname);
  if (url && url.hostname !== "" && isDatabase && url.search === "" && Object.hasOwn(SCHEMES, url.protocol)) {
    // Schemes that the platform does not know cannot be replaced in an URL.
    return new URL(SCHEMES[url.protocol] + url.href.slice(url.protocol.length));
  }
  throw new TurboQuantError(
    "invalid_argument",
    `--page-store: expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], got ${withoutPassword(address)}`,
  );
}

const withoutPassword = (address: string): string => address.slice(0, 200).replace(/\/\/.*@/, "//…@");

async function loadClient(): Promise<Library> {
  try {
    // Bundlers are not to ask for a package that most do without.
    const name = "ioredis";
    return (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ name)) as Library;
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "--page-store redis://…: needs the package ioredis, which is not installed; npm install ioredis",
      {},
      { cause },
    );
  }
}
