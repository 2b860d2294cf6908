/** @file Brings a model from the hub into the cache that the hub's tools share, or finds it there. */
import { mkdir, readFile, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { formatBytes } from "../../format-number.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import { linkedAbort } from "../../linked-abort.ts";
import type { OnProgress } from "../../platform.ts";
import { type ChosenFiles, chooseFiles, type StoredFile } from "./choose-files.ts";
import { downloadBlob, partialOf } from "./download-blob.ts";
import { withDownloadLock } from "./download-lock.ts";
import { HubClient } from "./hub-client.ts";
import { type HubSettings, hubSettings } from "./hub-settings.ts";
import { RepoCache, sizeOf } from "./repo-cache.ts";
import { fileUrl, hubError, type RemoteFile, readRepository } from "./repository.ts";

/** Files that are downloaded at the same time. */
const PARALLEL = 4;
/** Left free on the disk, for what else is being written. */
const SPARE_BYTES = 64 * 2 ** 20;

export interface HubOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** Told in a sentence when something is waited for. */
  readonly onNote?: (text: string) => void;
  /** Default: of the environment. */
  readonly settings?: HubSettings;
  /** Before a request is repeated the first time, in milliseconds. */
  readonly firstWaitMs?: number;
  readonly silenceMs?: number;
  /** Bytes that may be written below a folder. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

/** A model on this machine. */
export interface HubModel {
  /** As short as it can be named: `org/name:Q4_K_M`. */
  readonly name: string;
  readonly commit: string;
  readonly quant: string | null;
  /** The folder of its files. */
  readonly directory: string;
  /** The GGUF file in `directory`; null for safetensors. */
  readonly weights: string | null;
  /** Paths below the snapshot. */
  readonly files: readonly StoredFile[];
}

export interface PulledModel extends HubModel {
  /** Of all its files, and how many came over the network. */
  readonly bytes: number;
  readonly downloadedBytes: number;
}

/**
 * The model as it was pulled or downloaded by another tool of the hub; null when files are missing. Does not contact the hub.
 * Without a quantization the choice is among those that are there.
 */
export async function cachedModel(id: HubId, settings: HubSettings): Promise<HubModel | null> {
  const cache = new RepoCache(settings.cacheDir, id.repo);
  const current = await cache.commitOf(id.revision);
  return current === null ? null : await modelOfSnapshot(cache, id, current);
}

/** The model of one snapshot, if all its files are there. */
export async function modelOfSnapshot(cache: RepoCache, id: HubId, commit: string): Promise<HubModel | null> {
  const read = (file: StoredFile): Promise<string> => readFile(join(cache.snapshot(commit), file.path), "utf8");
  const chosen = await chooseFiles(id, await cache.files(commit), read).catch((error) => {
    // Not there as far as one can see here; the hub may have it.
    if (error instanceof TurboQuantError) return null;
    throw error;
  });
  if (!chosen || (chosen.kind === "safetensors" && !hasTokenizer(chosen.files))) return null;
  return modelOf(cache, id, commit, chosen);
}

/**
 * Downloads what is missing of the model. Bytes are written elsewhere, checked and renamed: an interrupted download leaves nothing
 * that looks like a file of the model, and the next one goes on from there.
 * @throws TurboQuantError invalid_argument — no such model, no access, or several are meant; invalid_file — the hub cannot be
 * reached, or sends other bytes than it announced; unsupported — no model that can be read; out_of_memory — the disk is too small
 */
export async function pullModel(id: HubId, asked: HubOptions = {}): Promise<PulledModel> {
  const settings = asked.settings ?? (await hubSettings());
  if (settings.isOffline) throw offline(id, settings);
  // One file that fails stops the others; what came of them stays for the next pull.
  const { controller: failure, release } = linkedAbort(asked.signal);
  const options = { ...asked, signal: failure.signal };
  const client = clientOf(settings, options);
  const cache = new RepoCache(settings.cacheDir, id.repo);
  try {
    const { commit, files } = await readRepository(client, settings, id);
    // The choice may need the text of a file, which then is in the cache.
    const chosen = await chooseFiles(id, files, async (file) => {
      await fetchFile(client, settings, cache, commit, file, options, () => {});
      return await readFile(cache.blob(file.hash), "utf8");
    });
    const missing = await missingFiles(cache, commit, chosen.files);
    const bytes = chosen.files.reduce((sum, file) => sum + file.size, 0);
    const partials = await partialBytes(cache, missing);
    await checkDisk(id, settings, missing, partials, options);
    let downloadedBytes = 0;
    const report = progressOf(
      hubName({ ...id, quant: id.file === null ? chosen.quant : null }),
      missing,
      partials,
      options,
    );
    await inParallel(missing, failure, async (file) => {
      const received = await fetchFile(client, settings, cache, commit, file, options, (done) => report(file, done));
      downloadedBytes += received;
    });
    for (const file of chosen.files) {
      if ((await sizeOf(join(cache.snapshot(commit), file.path))) !== file.size) {
        await cache.link(file.hash, commit, file.path);
      }
    }
    await cache.setCommit(id.revision, commit);
    return { ...modelOf(cache, id, commit, chosen), bytes, downloadedBytes };
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw diskError(hubError(error, id, settings), settings);
  } finally {
    release();
  }
}

/**
 * The model in the cache, or else pulled.
 * @throws TurboQuantError — as `pullModel`
 */
export async function findOrPull(id: HubId, options: HubOptions = {}): Promise<HubModel> {
  const settings = options.settings ?? (await hubSettings());
  const cached = await cachedModel(id, settings);
  if (cached) return cached;
  try {
    return await pullModel(id, { ...options, settings, onNote: options.onNote ?? noteAsProgress(options) });
  } catch (error) {
    const isUnreachable = error instanceof TurboQuantError && error.code === "invalid_file";
    const older = isUnreachable && id.revision === "main" ? await olderModel(id, settings) : null;
    if (older) return older;
    throw error;
  }
}

/** The model of the latest snapshot that has it, for when the hub cannot be asked; its name says of which commit it is. */
async function olderModel(id: HubId, { cacheDir }: HubSettings): Promise<HubModel | null> {
  const cache = new RepoCache(cacheDir, id.repo);
  for (const commit of await cache.commits()) {
    const model = await modelOfSnapshot(cache, { ...id, revision: commit }, commit);
    if (model) return model;
  }
  return null;
}

/** A caller that is told of progress alone sees there what is waited for. */
const noteAsProgress =
  ({ onProgress }: HubOptions) =>
  (item: string): void =>
    onProgress?.({ phase: "download", item, done: 0, total: 0, unit: "bytes" });

export function clientOf(settings: HubSettings, options: HubOptions): HubClient {
  return new HubClient({
    endpoint: settings.endpoint,
    token: settings.token,
    signal: options.signal,
    firstWaitMs: options.firstWaitMs,
    silenceMs: options.silenceMs,
    onWait: options.onNote,
  });
}

export const offline = (id: HubId, { cacheDir }: HubSettings): TurboQuantError =>
  new TurboQuantError(
    "invalid_file",
    `hub: ${hubName(id)} is not on this machine, and HF_HUB_OFFLINE is set; unset it, or pull the model first (cache: ${cacheDir})`,
    { id: hubName(id) },
  );

function modelOf(cache: RepoCache, id: HubId, commit: string, chosen: ChosenFiles<StoredFile>): HubModel {
  const path = chosen.weights === null ? null : join(cache.snapshot(commit), chosen.weights);
  return {
    name: hubName({ ...id, quant: id.file === null ? chosen.quant : null }),
    commit,
    quant: chosen.quant,
    directory: path === null ? cache.snapshot(commit) : dirname(path),
    weights: chosen.weights?.slice(chosen.weights.lastIndexOf("/") + 1) ?? null,
    files: chosen.files.map(({ path, size }) => ({ path, size })),
  };
}

/** Tools that load a model without its tokenizer leave a snapshot that is no whole model. */
const hasTokenizer = (files: readonly StoredFile[]): boolean =>
  files.some(({ path }) => path === "tokenizer.json" || path === "vocab.json" || path === "tokenizer.model");

/** Of files that are equal the first: they are one file in the cache. */
async function missingFiles(cache: RepoCache, commit: string, files: readonly RemoteFile[]): Promise<RemoteFile[]> {
  const missing: RemoteFile[] = [];
  for (const file of files) {
    const isThere =
      (await sizeOf(cache.blob(file.hash))) === file.size ||
      (await sizeOf(join(cache.snapshot(commit), file.path))) === file.size;
    if (!isThere && !missing.some(({ hash }) => hash === file.hash)) missing.push(file);
  }
  // Small ones first: what is wrong with them shows before gigabytes have come.
  return missing.sort((a, b) => a.size - b.size);
}

async function fetchFile(
  client: HubClient,
  settings: HubSettings,
  cache: RepoCache,
  commit: string,
  file: RemoteFile,
  { signal, onNote }: HubOptions,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const blob = cache.blob(file.hash);
  const url = fileUrl(settings, cache.repo, commit, file.path);
  const onBusy = (owner: string): void => onNote?.(`${file.path} is being downloaded by ${owner}; waiting for it`);
  const received = await withDownloadLock(cache.lock(file.hash), { signal, onBusy }, async () => {
    return (await sizeOf(blob)) === file.size ? 0 : await downloadBlob({ client, url, file, blob, onBytes });
  });
  onBytes(file.size);
  return received;
}

/** The first failure aborts `failure`, and is thrown when all have ended: no file is still being written then. */
async function inParallel<T>(
  items: readonly T[],
  failure: AbortController,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  const failing = (error: unknown): never => {
    failure.abort(error);
    throw error;
  };
  await Promise.allSettled(Array.from({ length: PARALLEL }, () => worker().catch(failing)));
  failure.signal.throwIfAborted();
}

/** What earlier pulls have left of each file. */
async function partialBytes(cache: RepoCache, files: readonly RemoteFile[]): Promise<Map<RemoteFile, number>> {
  const bytes = new Map<RemoteFile, number>();
  for (const file of files) bytes.set(file, Math.max(0, await sizeOf(partialOf(cache.blob(file.hash)))));
  return bytes;
}

/** Adds the files up, beginning with what was there, which is no speed of this pull. */
function progressOf(
  item: string,
  files: readonly RemoteFile[],
  partials: ReadonlyMap<RemoteFile, number>,
  { onProgress }: HubOptions,
) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const done = new Map(partials);
  const report = (): void => {
    const sum = [...done.values()].reduce((a, b) => a + b, 0);
    onProgress?.({ phase: "download", item, done: sum, total, unit: "bytes" });
  };
  if (total > 0) report();
  return (file: RemoteFile, bytes: number): void => {
    done.set(file, bytes);
    report();
  };
}

async function checkDisk(
  id: HubId,
  { cacheDir }: HubSettings,
  missing: readonly RemoteFile[],
  partials: ReadonlyMap<RemoteFile, number>,
  { freeBytes = freeBytesOf }: HubOptions,
): Promise<void> {
  if (missing.length === 0) return;
  const cache = new RepoCache(cacheDir, id.repo);
  await mkdir(cache.folder, { recursive: true });
  let needed = 0;
  for (const file of missing) needed += Math.max(0, file.size - partials.get(file)!);
  const free = await freeBytes(cache.folder);
  if (needed + SPARE_BYTES <= free) return;
  throw new TurboQuantError(
    "out_of_memory",
    `hub: ${hubName(id)} needs ${formatBytes(needed)} more in ${cacheDir}, where ${formatBytes(free)} are free; make room (turboquant list, rm), or set HF_HOME to a folder on another disk`,
    { needed, free },
  );
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** What a full or a protected disk says. */
function diskError(error: unknown, { cacheDir }: HubSettings): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new TurboQuantError(
      "out_of_memory",
      `hub: ${cacheDir}: the disk is full; what has come stays there: make room, and pull again`,
      { code },
      { cause: error },
    );
  }
  if (!["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENAMETOOLONG"].includes(String(code))) return error;
  return new TurboQuantError(
    "invalid_argument",
    `hub: ${cacheDir} cannot be written (${code}); set HF_HOME or HF_HUB_CACHE to a folder of yours`,
    { code },
    { cause: error },
  );
}
