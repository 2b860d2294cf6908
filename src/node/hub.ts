/** @file Downloads a checkpoint from the Hugging Face Hub into the cache that the Python tools share. */
import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { TurboQuantError } from "../errors.ts";
import { parseHubId } from "../formats/hub-id.ts";
import { isSafeFileName } from "../formats/safe-file-name.ts";
import type { OnProgress } from "../platform.ts";

type Hub = typeof import("@huggingface/hub");

export interface HubOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** Default: environment variable `HF_ENDPOINT`, or else the public hub. */
  readonly endpoint?: string;
  /** Default: the cache of the Python tools (`HF_HUB_CACHE`, `HF_HOME`, `~/.cache/huggingface/hub`). */
  readonly cacheDir?: string;
  /** Default: environment variable `HF_TOKEN`. */
  readonly token?: string;
  /** Default: environment variable `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
}

interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /** Name of the file's blob in the cache: SHA-256 of a large file, git object id of a small one. */
  readonly etag: string;
  readonly sha256: string | undefined;
}

/** The files to download besides the weights. */
const SMALL_FILES = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates/tool_use.jinja",
  "kv_calibration.safetensors",
]);
const SHARD = /^model-\d+-of-\d+\.safetensors$/;

/** The directory of a checkpoint's snapshot in the local hub cache, as far as it was downloaded. Does not contact the hub. */
export async function cachedCheckpoint(
  id: string,
  options: Pick<HubOptions, "cacheDir" | "offline"> = {},
): Promise<{ directory: string | undefined; offline: boolean }> {
  const { repo, revision } = parseHubId(id) ?? { repo: "", revision: "" };
  const cacheDir = options.cacheDir ?? (await importHub()).getHFHubCachePath();
  const folder = join(cacheDir, `models--${repo.replaceAll("/", "--")}`);
  const snapshot = (commit: string) => join(folder, "snapshots", commit);
  const directory = isSafeFileName(revision)
    ? await cachedSnapshot(join(folder, "refs", revision), revision, snapshot)
    : undefined;
  return { directory, offline: options.offline ?? isSet(process.env["HF_HUB_OFFLINE"]) };
}

/**
 * Downloads the missing files and returns the snapshot's directory. Files are written elsewhere, checked and renamed, so an
 * interrupted download leaves nothing that looks like a file of the checkpoint.
 *
 * id: `org/name[@revision]`, revision a branch, tag or commit, by default `main`
 * @throws TurboQuantError invalid_argument — no such model or no access; invalid_file — no network and not in the cache, or a
 * damaged transfer; unsupported — the model has no safetensors
 */
export async function downloadCheckpoint(id: string, options: HubOptions = {}): Promise<string> {
  const { repo, revision } = parseHubId(id) ?? { repo: "", revision: "" };
  if (!isSafeFileName(revision)) {
    throw new TurboQuantError("invalid_argument", `hub: expected org/name[@revision], got "${id}"; check the id`, {
      id,
    });
  }
  const hub = await importHub();
  const cacheDir = options.cacheDir ?? hub.getHFHubCachePath();
  const folder = join(cacheDir, `models--${repo.replaceAll("/", "--")}`);
  const snapshot = (commit: string) => join(folder, "snapshots", commit);
  const refFile = join(folder, "refs", revision);

  if (options.offline ?? isSet(process.env["HF_HUB_OFFLINE"])) {
    const cached = await cachedSnapshot(refFile, revision, snapshot);
    if (cached) return cached;
    throw notAvailable(id, "HF_HUB_OFFLINE is set while the cache does not hold it", cacheDir);
  }

  const token = options.token ?? process.env["HF_TOKEN"];
  const endpoint = options.endpoint ?? process.env["HF_ENDPOINT"];
  const request = {
    ...(endpoint && { hubUrl: endpoint.replace(/\/+$/, "") }),
    ...(token && { accessToken: token }),
    fetch: ((input, init) =>
      fetch(input, { ...init, ...(options.signal && { signal: options.signal }) })) as typeof fetch,
  };
  let commit: string;
  let files: RemoteFile[];
  try {
    commit = (await hub.modelInfo({ ...request, name: repo, revision, additionalFields: ["sha"] })).sha;
    files = await listCheckpoint(hub, request, repo, commit);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    if (isNetworkError(error)) {
      const cached = await cachedSnapshot(refFile, revision, snapshot);
      if (cached) return cached;
    }
    throw explain(error, id, cacheDir);
  }
  if (!files.some((file) => file.path.endsWith(".safetensors") && file.path.startsWith("model"))) {
    throw new TurboQuantError(
      "unsupported",
      `hub: ${id} has no model.safetensors (only other formats); pick a repository with safetensors or convert it`,
      { id },
    );
  }

  const total = files.reduce((sum, file) => sum + file.size, 0);
  let done = 0;
  for (const file of files) {
    const link = join(snapshot(commit), file.path);
    const blob = join(folder, "blobs", file.etag);
    const report = (bytes: number) =>
      options.onProgress?.({ phase: "download", item: file.path, done: done + bytes, total, unit: "bytes" });
    if ((await sizeOf(link)) !== file.size) {
      if ((await sizeOf(blob)) !== file.size) {
        try {
          await downloadBlob(hub, { ...request, repo, revision: commit, path: file.path }, file, blob, report);
        } catch (error) {
          if (options.signal?.aborted) throw error;
          throw explain(error, id, cacheDir);
        }
      }
      await linkBlob(blob, link);
    }
    report(file.size);
    done += file.size;
  }
  // Written last, so that the name of the revision always refers to a complete snapshot.
  if (revision !== commit) {
    await mkdir(dirname(refFile), { recursive: true });
    await writeFile(refFile, commit);
  }
  return snapshot(commit);
}

async function importHub(): Promise<Hub> {
  try {
    return await import("@huggingface/hub");
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "hub: the package @huggingface/hub is missing; run: npm install @huggingface/hub",
      {},
      { cause },
    );
  }
}

async function listCheckpoint(
  hub: Hub,
  request: { hubUrl?: string; accessToken?: string; fetch: typeof fetch },
  repo: string,
  revision: string,
): Promise<RemoteFile[]> {
  const all: RemoteFile[] = [];
  for await (const entry of hub.listFiles({ ...request, repo, revision })) {
    if (entry.type !== "file" || !isSafeFileName(entry.path)) continue;
    const etag = entry.lfs?.oid ?? entry.oid;
    if (etag && isSafeFileName(etag)) all.push({ path: entry.path, size: entry.size, etag, sha256: entry.lfs?.oid });
  }
  const single = all.some((file) => file.path === "model.safetensors");
  const wanted = (path: string) =>
    SMALL_FILES.has(path) ||
    (single ? path === "model.safetensors" : SHARD.test(path) || path === "model.safetensors.index.json");
  return all.filter((file) => wanted(file.path)).sort((a, b) => a.size - b.size);
}

async function downloadBlob(
  hub: Hub,
  params: Parameters<Hub["downloadFile"]>[0],
  file: RemoteFile,
  blobPath: string,
  report: (bytes: number) => void,
): Promise<void> {
  const blob = await hub.downloadFile(params);
  if (!blob) throw new TurboQuantError("invalid_file", `hub: ${file.path} is listed but cannot be fetched; try again`);
  await mkdir(dirname(blobPath), { recursive: true });
  // The process id keeps two downloads of one file apart. The later rename wins, with equal bytes.
  const partial = `${blobPath}.${process.pid}.incomplete`;
  const output = await open(partial, "w");
  try {
    const hash = createHash("sha256");
    let bytes = 0;
    const reader = blob.stream().getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      await output.writeFile(part.value);
      hash.update(part.value);
      bytes += part.value.length;
      report(bytes);
    }
    if (bytes !== file.size || (file.sha256 && hash.digest("hex") !== file.sha256)) {
      throw new TurboQuantError(
        "invalid_file",
        `hub: ${file.path}: expected ${file.size} bytes of a known checksum, got ${bytes} that do not match; run the command again`,
        { file: file.path, expected: file.size, got: bytes },
      );
    }
    await output.close();
    await rename(partial, blobPath);
  } catch (error) {
    await output.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
}

/** Files of a snapshot are relative links to `blobs/`. Where links are not allowed (Windows), the blob is moved there. */
async function linkBlob(blob: string, link: string): Promise<void> {
  await mkdir(dirname(link), { recursive: true });
  await rm(link, { force: true });
  await symlink(relative(dirname(link), blob), link).catch(() => rename(blob, link));
}

async function cachedSnapshot(
  refFile: string,
  revision: string,
  snapshot: (commit: string) => string,
): Promise<string | undefined> {
  const commit = await readFile(refFile, "utf8").then(
    (text) => text.trim(),
    () => revision,
  );
  if (!isSafeFileName(commit)) return undefined;
  return (await sizeOf(join(snapshot(commit), "config.json"))) >= 0 ? snapshot(commit) : undefined;
}

/** Size of a file in bytes, links followed; -1 when it does not exist. */
async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    (info) => info.size,
    () => -1,
  );
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && !["", "0", "false", "no", "off"].includes(value.toLowerCase());
}

/** `fetch` reports every failure below HTTP as a TypeError whose cause is a system error. */
function isNetworkError(error: unknown): boolean {
  return (
    error instanceof TypeError && (/fetch failed|network|terminated/i.test(error.message) || error.cause !== undefined)
  );
}

function notAvailable(id: string, why: string, cacheDir: string, cause?: unknown): TurboQuantError {
  return new TurboQuantError(
    "invalid_file",
    `hub: ${id} is no directory here, and ${why}; connect and try again, or download it elsewhere and pass its directory (cache: ${cacheDir})`,
    { id },
    { cause },
  );
}

function explain(error: unknown, id: string, cacheDir: string): unknown {
  if (error instanceof TurboQuantError) return error;
  const status = (error as { statusCode?: number }).statusCode;
  if (status === 401 || status === 403 || status === 404) {
    return new TurboQuantError(
      "invalid_argument",
      `hub: ${id}: no such directory here, and no such model or no access on the hub (HTTP ${status}); check the name, accept its licence on its page, and set HF_TOKEN`,
      { id, status },
      { cause: error },
    );
  }
  if (error instanceof TypeError && /access token/i.test(error.message)) {
    return new TurboQuantError(
      "invalid_argument",
      "hub: HF_TOKEN: expected a token that starts with hf_; correct or unset it",
      {},
      { cause: error },
    );
  }
  const why = status
    ? `the hub answered HTTP ${status}`
    : isNetworkError(error)
      ? "the hub cannot be reached"
      : String(error);
  return notAvailable(id, why, cacheDir, error);
}
