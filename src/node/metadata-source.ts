/** @file Opens a checkpoint only for its config and headers, without downloading weights. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import type { FileSource } from "../formats/file-source.ts";
import { type HubId, parseHubId } from "../formats/hub-id.ts";
import { MemorySource } from "../formats/memory-source.ts";
import { nameOfPlace } from "../formats/model-name.ts";
import { hubEndpoint, hubSettings } from "./hub/hub-settings.ts";
import { cachedModel, type HubOptions } from "./hub/pull-model.ts";
import { openRemoteModel } from "./hub/remote-source.ts";
import { findLocalModel, isGgufFile } from "./local-model.ts";
import { embeddedModelDirectory } from "./package-root.ts";
import { nodePlatform, sourceOfHubModel } from "./platform.ts";

/**
 * ref: a config.json, a directory, the name of an embedded model, or a name on the hub. A hub model is read with range requests unless
 * it is in the cache.
 * @throws TurboQuantError invalid_argument — none of them; invalid_file, unsupported — errors of the hub or the file system
 */
export async function openMetadataSource(ref: string, options: HubOptions = {}): Promise<FileSource> {
  const info = await stat(ref).catch(() => undefined);
  if (info?.isFile() && !(await isGgufFile(ref))) {
    // Messages put the file's name behind the folder's.
    const name = basename(ref) === "config.json" ? dirname(ref) : ref;
    return new MemorySource({ "config.json": await readFile(ref) }, name, nameOfPlace(resolve(ref)));
  }
  const isHere = (await findLocalModel(ref)) ?? embeddedModelDirectory(ref);
  const id = isHere ? null : parseHubId(ref, options.settings?.endpoint ?? hubEndpoint());
  return id ? await openHub(id, options) : await nodePlatform.openSource(ref);
}

async function openHub(id: HubId, options: HubOptions): Promise<FileSource> {
  const settings = options.settings ?? (await hubSettings());
  const cached = await cachedModel(id, settings);
  return cached ? sourceOfHubModel(cached) : (await openRemoteModel(id, { ...options, settings })).source;
}
