/** @file Opens the store that an address names: a folder, Redis or Valkey, or S3. */
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";
import { openFolderStore } from "./folder-store.ts";

export interface OpenStoreOptions {
  /** The most bytes of a folder's files. */
  readonly folderBytes: number;
}

/** Addresses by what they begin with. */
const SCHEMES: Readonly<Record<string, (rest: string, options: OpenStoreOptions) => PageStore | Promise<PageStore>>> = {
  folder: (path, { folderBytes }) => openFolderStore(path, { mostBytes: folderBytes }),
};

/**
 * address: `folder:PATH`
 * @throws TurboQuantError invalid_argument — not such an address
 */
export async function openPageStore(address: string, options: OpenStoreOptions): Promise<PageStore> {
  const [, scheme = "", rest = ""] = /^([a-z0-9]+):(.+)$/.exec(address) ?? [];
  if (Object.hasOwn(SCHEMES, scheme)) return SCHEMES[scheme]!(rest, options);
  throw new TurboQuantError(
    "invalid_argument",
    `--page-store: expected folder:PATH, got ${JSON.stringify(address.slice(0, 200))}`,
  );
}
