/** @file What the handlers share. Whatever touches files or sockets is behind an interface here. */
import type { LLM } from "../engine/llm.ts";
import type { Scheduler } from "../engine/scheduler/scheduler.ts";
import type { ServerMetrics } from "./server-metrics.ts";

export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Files of saved conversations. Names are checked before they come here. */
export interface SlotStore {
  /** returns: bytes written */
  write(name: string, parts: AsyncIterable<Uint8Array>): Promise<number>;
  /** @throws TurboQuantError invalid_argument — there is no such file */
  read(name: string): Promise<Uint8Array>;
}

export interface StaticFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** Its name changes with its content, so that it may be kept for ever. */
  readonly isImmutable: boolean;
}

/** Files of the web page by path ("/assets/x.js"); null: there is none. */
export type StaticFiles = (path: string) => Promise<StaticFile | null>;

export interface ServerOptions {
  readonly llm: LLM;
  readonly scheduler: Scheduler;
  readonly metrics: ServerMetrics;
  readonly logger: Logger;
  /** Names under which the model is asked for; the first one is shown. */
  readonly modelNames: readonly string[];
  /** Any of these is accepted; none: no key is needed. */
  readonly apiKeys: readonly string[];
  /** Origins of other pages that may call; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Names under which browsers may reach this server (Host header); null: any. */
  readonly hosts: readonly string[] | null;
  readonly maxBodyBytes: number;
  /** Longest time for one request. */
  readonly timeoutMs: number;
  /** Null: saving is switched off. */
  readonly slotStore: SlotStore | null;
  /** Null: there is no web page. */
  readonly staticFiles: StaticFiles | null;
  readonly version: string;
  /** Whose request it is when there is no key: the address of the other end. */
  readonly clientOf: (env: unknown) => string;
}
