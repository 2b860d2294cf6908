/** @file Opens a checkpoint only for its config and headers, without downloading weights. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { HttpSource } from "../formats/http-source.ts";
import { parseHubId } from "../formats/hub-id.ts";
import { MemorySource } from "../formats/memory-source.ts";
import { nameOfPlace } from "../formats/model-name.ts";
import { DirectorySource } from "./directory-source.ts";
import { cachedCheckpoint, type HubOptions } from "./hub.ts";
import { embeddedModelDirectory } from "./package-root.ts";
import { nodePlatform } from "./platform.ts";

const PUBLIC_HUB = "https://huggingface.co";

/**
 * ref: a config.json, a directory, the name of an embedded model, or a hub id. A hub model is read with range requests unless
 * it is in the local hub cache.
 * @throws TurboQuantError invalid_argument — none of them; invalid_file, unsupported — errors of the hub or the file system
 */
export async function openMetadataSource(ref: string, options: HubOptions = {}): Promise<FileSource> {
  const info = await stat(ref).catch(() => undefined);
  if (info?.isFile() && !ref.endsWith(".gguf")) {
    // Messages put the file's name behind the folder's.
    const name = basename(ref) === "config.json" ? dirname(ref) : ref;
    return new MemorySource({ "config.json": await readFile(ref) }, name, nameOfPlace(resolve(ref)));
  }
  if (!info && !embeddedModelDirectory(ref) && parseHubId(ref)) return await openHub(ref, options);
  return await nodePlatform.openSource(ref);
}

async function openHub(id: string, options: HubOptions): Promise<FileSource> {
  const cached = await cachedCheckpoint(id, options);
  if (cached.directory) return new DirectorySource(cached.directory, id);
  if (cached.offline) {
    throw new TurboQuantError(
      "invalid_file",
      `hub: ${id}: HF_HUB_OFFLINE is set and the cache does not hold it; unset it, or pass a config.json`,
      { id },
    );
  }
  const { repo, revision } = parseHubId(id)!;
  const token = options.token ?? process.env["HF_TOKEN"];
  const endpoint = (options.endpoint ?? process.env["HF_ENDPOINT"] ?? PUBLIC_HUB).replace(/\/+$/, "");
  const source = new HttpSource(
    `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/`,
    {
      ...(token && { headers: { Authorization: `Bearer ${token}` } }),
      ...(options.onProgress && { onProgress: options.onProgress }),
      ...(options.signal && { signal: options.signal }),
    },
    id,
  );
  if (await source.has("config.json").catch((error) => refuse(id, error))) return source;
  throw new TurboQuantError(
    "invalid_argument",
    `hub: ${id}: no such directory here, and no such model with a config.json on the hub; check the name`,
    { id },
  );
}

/** The error for an answer of 401, which the hub gives for models that do not exist and for models whose licence must be accepted. */
function refuse(id: string, error: unknown): never {
  const status = error instanceof TurboQuantError ? error.detail["status"] : undefined;
  if (error instanceof TurboQuantError && status === undefined) {
    throw new TurboQuantError(
      "invalid_file",
      `hub: ${id} is no directory here, and the hub cannot be reached; connect and try again, or pass a directory or a config.json`,
      { id },
      { cause: error },
    );
  }
  if (status !== 401 && status !== 403) throw error;
  throw new TurboQuantError(
    "invalid_argument",
    `hub: ${id}: no such directory here, and no such model or no access on the hub (HTTP ${status}); check the name, accept its licence on its page, and set HF_TOKEN`,
    { id, status },
    { cause: error },
  );
}
