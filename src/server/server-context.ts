/** @file What all handlers share. Files and sockets are accessible only through interfaces defined here. */
import type { Pooling } from "../engine/scheduler/row-pool.ts";
import type { Models } from "./models.ts";
import type { RateLimits } from "./rate-limits.ts";
import type { UnknownFields } from "./read-body.ts";
import type { ServerMetrics } from "./server-metrics.ts";

export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Files of saved conversations. The caller has checked the names. */
export interface SlotStore {
  /** returns: bytes written */
  write(name: string, parts: AsyncIterable<Uint8Array>): Promise<number>;
  /** @throws TurboQuantError invalid_argument — no such file */
  read(name: string): Promise<Uint8Array>;
}

export interface StaticFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** Whether browsers may cache the file forever, because its name changes with its content. */
  readonly isImmutable: boolean;
  /** The bytes in a compressed form; absent where that saves nothing. */
  readonly compressed?: (encoding: ContentEncoding) => Promise<Uint8Array<ArrayBuffer>>;
}

/** As in `Accept-Encoding`, what saves most first. */
export const CONTENT_ENCODINGS = ["br", "gzip"] as const;
export type ContentEncoding = (typeof CONTENT_ENCODINGS)[number];

/** Returns a file of the web page by path ("/assets/x.js"); null when there is none. */
export type StaticFiles = (path: string) => Promise<StaticFile | null>;

export interface ServerOptions {
  readonly models: Models;
  readonly metrics: ServerMetrics;
  readonly logger: Logger;
  /** API keys that are accepted; when empty, no key is needed. */
  readonly apiKeys: readonly string[];
  /** What each key, or each address where there are none, may ask for in a minute. */
  readonly rates?: RateLimits;
  /** Origins of other pages that may send requests; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Host headers that are accepted; null for any. */
  readonly hosts: readonly string[] | null;
  /** The longest time for one request. */
  readonly timeoutMs: number;
  /** null when saving is switched off. */
  readonly slotStore: SlotStore | null;
  /** null when there is no web page. */
  readonly staticFiles: StaticFiles | null;
  readonly version: string;
  /** What happens to fields of a request that are not known; default: it is refused. */
  readonly unknownFields?: UnknownFields;
  /** What a vector of `/v1/embeddings` is made of where the request does not say; default: `last`. */
  readonly pooling?: Pooling;
  /** Name of the way in which models write tool calls; default: what the chat template of each says. */
  readonly toolFormat?: string;
}
