/** @file Where a model's files lie, and what is known of them besides their contents. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { FileSource } from "../../formats/file-source.ts";
import { readText } from "../../formats/file-source.ts";
import { readGgufHeader } from "../../formats/gguf/header.ts";
import { ggufModels, isNamed } from "../../formats/gguf/model-files.ts";
import { quantOfPath } from "../../formats/gguf/quant-names.ts";
import { type HubId, parseHubId } from "../../formats/hub-id.ts";
import type { StoredFile } from "../hub/choose-files.ts";
import { hubEndpoint, hubSettings } from "../hub/hub-settings.ts";
import { cachedModel, type HubOptions } from "../hub/pull-model.ts";
import { openRemoteModel } from "../hub/remote-source.ts";
import { findLocalModel } from "../local-model.ts";
import { embeddedModelDirectory } from "../package-root.ts";
import { findLlamaCppModel, isLlamaCppName } from "./llama-cpp-cache.ts";
import { findOllamaModel, isOllamaName } from "./ollama-store.ts";

export interface ModelPlace {
  readonly name: string;
  /** `remote`: on the hub and not here. */
  readonly origin: "files" | "package" | "hub" | "remote" | "llama.cpp" | "ollama";
  /** The GGUF file, or the folder; null for a model that is not here. */
  readonly path: string | null;
  /** Paths below the folder, or of the repository. */
  readonly files: readonly StoredFile[];
  readonly quant: string | null;
  /** Commit on the hub. */
  readonly revision: string | null;
  /** As the tool that brought it has noted it beside the files. */
  readonly license?: string | null;
}

/** ref: as `--model` takes it, of a model that is there. */
export async function placeOfModel(ref: string, options: HubOptions = {}): Promise<ModelPlace> {
  if (isOllamaName(ref)) return await ollamaPlace(ref);
  if (isLlamaCppName(ref)) {
    const { name, directory, file, parts, quant } = await findLlamaCppModel(ref);
    return { name, origin: "llama.cpp", path: join(directory, file), files: parts, quant, revision: null };
  }
  if ((await stat(ref).catch(() => null))?.isFile()) return await filePlace(resolve(ref));
  const local = await findLocalModel(ref);
  if (local?.weights) return await filePlace(resolve(local.directory, local.weights));
  const embedded = local ? undefined : embeddedModelDirectory(ref);
  const id = local || embedded ? null : parseHubId(ref, hubEndpoint());
  return id ? await hubPlace(id, options) : await folderPlace(ref, embedded);
}

/** What the model card or the GGUF file says; null where they say nothing. */
export async function licenseOf(source: FileSource): Promise<string | null> {
  if (await source.has("README.md")) {
    const [, head = ""] = /^---\r?\n([\s\S]*?)\r?\n---/.exec(await readText(source, "README.md")) ?? [];
    const named = /^license:[ \t]*["']?([\w.+-]+)/m.exec(head)?.[1];
    // "other" has its name in a line of its own.
    const license = named === "other" ? (/^license_name:[ \t]*["']?([\w.+-]+)/m.exec(head)?.[1] ?? named) : named;
    if (license) return license;
  }
  if (source.weights === undefined) return null;
  const license = (await readGgufHeader(source, source.weights)).metadata.get("general.license");
  return typeof license === "string" && license !== "" ? license.slice(0, 100) : null;
}

async function ollamaPlace(ref: string): Promise<ModelPlace> {
  const { name, root, weights, bytes, license } = await findOllamaModel(ref);
  const path = join(root, "blobs", weights);
  return {
    name,
    origin: "ollama",
    path,
    files: [{ path: weights, size: bytes }],
    quant: quantOfPath(name.replace(/.*:/, "")),
    revision: null,
    license,
  };
}

async function hubPlace(id: HubId, options: HubOptions): Promise<ModelPlace> {
  const settings = options.settings ?? (await hubSettings());
  const cached = await cachedModel(id, settings);
  if (cached) {
    const { name, directory, weights, files, quant, commit } = cached;
    return {
      name,
      origin: "hub",
      path: weights ? join(directory, weights) : directory,
      files,
      quant,
      revision: commit,
    };
  }
  const { name, chosen, commit, source } = await openRemoteModel(id, { ...options, settings });
  await source.close();
  const files = chosen.files.map(({ path, size }) => ({ path, size }));
  return { name, origin: "remote", path: null, files, quant: chosen.quant, revision: commit };
}

async function filePlace(path: string): Promise<ModelPlace> {
  const model = ggufModels(await filesOf(dirname(path))).find(({ parts }) => isNamed(parts, basename(path)));
  const files = model?.parts ?? [{ path: basename(path), size: (await stat(path)).size }];
  return { name: path, origin: "files", path, files, quant: model?.quant ?? null, revision: null };
}

async function folderPlace(ref: string, embedded: string | undefined): Promise<ModelPlace> {
  const path = embedded ?? resolve(ref);
  const origin = embedded ? "package" : "files";
  return { name: ref, origin, path, files: await filesOf(path), quant: null, revision: null };
}

async function filesOf(folder: string): Promise<StoredFile[]> {
  const names = await readdir(folder).catch(() => []);
  const infos = await Promise.all(
    names.map(async (path) => ({ path, info: await stat(join(folder, path)).catch(() => null) })),
  );
  return infos
    .flatMap(({ path, info }) => (info?.isFile() ? [{ path, size: info.size }] : []))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
