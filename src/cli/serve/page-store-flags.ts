/** @file The options of `serve` for a store of pages that several servers share. */
import { type Command, Option } from "commander";
import {
  DEFAULT_FETCH_BYTES,
  DEFAULT_QUEUE_BYTES,
  DEFAULT_STORE_TIMEOUT_MS,
  FETCH_WHEN,
  type FetchWhen,
  type PageStoreOptions,
} from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";
import {
  DEFAULT_FOLDER_BYTES,
  DEFAULT_KEEP_SECONDS,
  openPageStore,
  STORE_ADDRESSES,
} from "../../node/page-store/open-page-store.ts";
import type { Logger } from "../../server/server-context.ts";
import { byteSize, realNumber, wholeNumber } from "../options.ts";

export interface PageStoreFlags {
  readonly prefixCache: boolean;
  readonly pageStore?: string;
  readonly pageStoreTimeout: number;
  readonly pageStoreFetch: FetchWhen;
  readonly pageStoreQueue: number;
  readonly pageStoreInflight: number;
  readonly pageStoreSize: number;
  readonly pageStoreKeep: number;
}

export function addPageStoreOptions(command: Command): void {
  command
    .option("--page-store <address>", "share prefixes with other servers: " + STORE_ADDRESSES)
    .addOption(
      new Option("--page-store-fetch <when>", "fetch where that should be faster than to compute, or always")
        .choices(FETCH_WHEN)
        .default("faster"),
    )
    .option(
      "--page-store-timeout <s>",
      "longest time that a request waits for the store",
      realNumber,
      DEFAULT_STORE_TIMEOUT_MS / 1000,
    )
    .option("--page-store-inflight <size>", "most bytes that are fetched at once", byteSize, DEFAULT_FETCH_BYTES)
    .option("--page-store-queue <size>", "most bytes that wait to be written", byteSize, DEFAULT_QUEUE_BYTES)
    .option(
      "--page-store-size <size>",
      "most bytes of a folder; what is not used goes first",
      byteSize,
      DEFAULT_FOLDER_BYTES,
    )
    .option("--page-store-keep <s>", "how long Redis keeps a page", wholeNumber(1), DEFAULT_KEEP_SECONDS);
}

/**
 * The open store, for schedulers; empty without one.
 * @throws TurboQuantError invalid_argument — an address that names none, or a store without prefixes
 */
export async function openStoreOf(
  flags: PageStoreFlags,
  logger: Logger,
): Promise<{ readonly pageStore?: PageStoreOptions } & AsyncDisposable> {
  const { pageStore: address } = flags;
  if (address === undefined) return { async [Symbol.asyncDispose]() {} };
  if (!flags.prefixCache) {
    throw new TurboQuantError(
      "invalid_argument",
      "--page-store: it shares kept prefixes, and --no-prefix-cache keeps none; leave one of the two out",
    );
  }
  const store = await openPageStore(address, { folderBytes: flags.pageStoreSize, keepSeconds: flags.pageStoreKeep });
  return {
    pageStore: {
      store,
      timeoutMs: flags.pageStoreTimeout * 1000,
      fetch: flags.pageStoreFetch,
      queueBytes: flags.pageStoreQueue,
      fetchBytes: flags.pageStoreInflight,
      onNote: (note) => logger.warn({ store: store.name }, `page store ${note}`),
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
}
