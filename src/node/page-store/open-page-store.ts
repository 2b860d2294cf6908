/** @file Opens the store that an address names: a folder, Redis or Valkey, or S3. */
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";
import { openFolderStore } from "./folder-store.ts";
import { openRedisStore } from "./redis-store.ts";
import { openS3Store } from "./s3-store.ts";

export interface OpenStoreOptions {
  /** The most bytes of a folder's files; default 16 GiB. What is not used goes first. */
  readonly folderBytes?: number;
  /** How long Redis keeps a value; default a day. */
  readonly keepSeconds?: number;
}

export const DEFAULT_FOLDER_BYTES = 16 * 2 ** 30;
export const DEFAULT_KEEP_SECONDS = 24 * 60 * 60;

type Open = (address: string, options: Required<OpenStoreOptions>) => PageStore | Promise<PageStore>;

const redis: Open = (address, options) => openRedisStore(address, options);

/** How addresses are opened, by what they begin with. */
const SCHEMES: Readonly<Record<string, Open>> = {
  folder: (address, { folderBytes }) => openFolderStore(address.slice("folder:".length), { mostBytes: folderBytes }),
  redis,
  rediss: redis,
  valkey: redis,
  valkeys: redis,
  s3: (address) => openS3Store(address),
};

/** The forms of an address. */
export const STORE_ADDRESSES = "folder:PATH, redis://HOST:PORT/DATABASE or s3://BUCKET/PREFIX";

/**
 * address: `folder:PATH`; `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss:` with TLS, `valkey:` and `valkeys:` the same; or
 * `s3://BUCKET[/PREFIX]`, with the environment of Amazon's tools
 *
 * @throws TurboQuantError invalid_argument — not such an address, or what it names cannot be used; unsupported — the client of Redis is not installed
 */
export async function openPageStore(address: string, options: OpenStoreOptions = {}): Promise<PageStore> {
  const scheme = /^([a-z0-9]+):./.exec(address)?.[1] ?? "";
  const { folderBytes = DEFAULT_FOLDER_BYTES, keepSeconds = DEFAULT_KEEP_SECONDS } = options;
  if (Object.hasOwn(SCHEMES, scheme)) return SCHEMES[scheme]!(address, { folderBytes, keepSeconds });
  throw new TurboQuantError(
    "invalid_argument",
    `--page-store: expected ${STORE_ADDRESSES}, got ${JSON.stringify(address.slice(0, 200))}`,
  );
}
