/** @file Removes a model's files from this machine; what other tools have put there only when forced. */
import { readdir, realpath, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { ggufModels, isNamed } from "../../formats/gguf/model-files.ts";
import { canonicalQuant } from "../../formats/gguf/quant-names.ts";
import { type HubId, hubName, parseHubId } from "../../formats/hub-id.ts";
import { CALIBRATION_FILE } from "../../models/calibration-file.ts";
import { calibrationsOf, isModelFile } from "../hub/choose-files.ts";
import { isLocked } from "../hub/download-lock.ts";
import { hubCacheDirectory, hubEndpoint } from "../hub/hub-settings.ts";
import { RepoCache } from "../hub/repo-cache.ts";
import { embeddedModelDirectory } from "../package-root.ts";
import { findLlamaCppModel, isLlamaCppName } from "./llama-cpp-cache.ts";
import { blobsOfOthers, findOllamaModel, isOllamaName, ollamaCalibration } from "./ollama-store.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Removed {
  readonly name: string;
  readonly files: number;
  readonly freedBytes: number;
}

/**
 * ref: a name as `listShelf` gives it; `org/name` without a quantization stands for all of the repository
 * @throws TurboQuantError invalid_argument — nothing of that name is here, or it is another tool's and `force` was not given
 */
export async function removeModel(ref: string, force: boolean, env: Environment = process.env): Promise<Removed> {
  if (isOllamaName(ref)) return await removeOllama(ref, force, env);
  if (isLlamaCppName(ref)) return await removeLlamaCpp(ref, force, env);
  const isFile = (await stat(ref).catch(() => null)) !== null;
  if (isFile) throw refuse(`rm: ${ref} is a file or folder of yours; delete it with the system's own command`);
  if (embeddedModelDirectory(ref)) throw refuse(`rm: ${ref} is part of this package, which is removed as a whole`);
  const id = parseHubId(ref, hubEndpoint(env));
  if (!id) throw refuse(`rm: expected a name as turboquant list prints it, got "${ref}"; check it`);
  return await removeHub(id, force, new RepoCache(hubCacheDirectory(env), id.repo));
}

async function removeHub(id: HubId, force: boolean, cache: RepoCache): Promise<Removed> {
  const name = hubName(id);
  await refuseIfBusy(cache, name);
  if (!(await exists(cache.folder))) throw notHere(name);
  const isAll = id.quant === null && id.file === null && id.revision === "main";
  if (isAll) {
    const others = await filesOfOthers(cache);
    if (others.length > 0 && !force) {
      throw refuse(
        `rm: ${name}: other tools have put ${others.slice(0, 5).join(", ")}${others.length > 5 ? ` and ${others.length - 5} more files` : ""} beside the model; --force removes them too, or name what to remove: ${name}:QUANT`,
      );
    }
    return await removeRepo(cache, name);
  }
  const links = await linksOf(id, cache);
  if (links.length === 0) throw notHere(name);
  const freed = await removeLinks(cache, links);
  const isEmpty = !(await hasModel(cache)) && (await filesOfOthers(cache)).length === 0;
  if (!isEmpty) return { name, files: links.length, freedBytes: freed };
  const rest = await removeRepo(cache, name);
  return { name, files: links.length + rest.files, freedBytes: freed + rest.freedBytes };
}

/** Links of all snapshots, or of the one that was named, to the files of the one model. */
async function linksOf(id: HubId, cache: RepoCache): Promise<string[]> {
  const commit = id.revision === "main" ? null : await cache.commitOf(id.revision);
  if (commit === null && id.revision !== "main") return [];
  const links: string[] = [];
  for (const each of commit === null ? await cache.commits() : [commit]) {
    const files = await cache.files(each);
    const isWholeSnapshot = id.quant === null && id.file === null;
    const wanted = isWholeSnapshot
      ? files
      : ggufModels(files)
          .filter(({ quant, parts }) => (id.file === null ? isQuant(quant, id.quant!) : isNamed(parts, id.file)))
          .flatMap((model) => [...model.parts, ...files.filter(({ path }) => path === calibrationsOf(model)[0])]);
    links.push(...wanted.map(({ path }) => join(cache.snapshot(each), path)));
  }
  return links;
}

const isQuant = (quant: string | null, wanted: string): boolean =>
  quant !== null && (quant === canonicalQuant(wanted) || quant === `UD-${canonicalQuant(wanted)}`);

/** Removes links, and the blobs that nothing refers to any more. Returns the bytes that became free. */
async function removeLinks(cache: RepoCache, links: readonly string[]): Promise<number> {
  const targets = new Map<string, number>();
  for (const link of links) {
    const target = await realpath(link).catch(() => link);
    targets.set(target, (await stat(link).catch(() => null))?.size ?? 0);
    await rm(link, { force: true });
  }
  const used = new Set<string>();
  for (const commit of await cache.commits()) {
    for (const { path } of await cache.files(commit)) used.add(await realpath(join(cache.snapshot(commit), path)));
  }
  let freed = 0;
  for (const [target, size] of targets) {
    if (used.has(target)) continue;
    freed += size;
    await rm(target, { force: true });
  }
  return freed;
}

async function removeRepo(cache: RepoCache, name: string): Promise<Removed> {
  let files = 0;
  let freedBytes = 0;
  for (const entry of await readdir(cache.folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    files++;
    freedBytes += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0;
  }
  await rm(cache.folder, { recursive: true, force: true });
  await rm(dirname(cache.lock("x")), { recursive: true, force: true });
  return { name, files, freedBytes };
}

/** Names in the snapshots that `pull` never puts there. */
async function filesOfOthers(cache: RepoCache): Promise<string[]> {
  const found = new Set<string>();
  for (const commit of await cache.commits()) {
    for (const { path } of await cache.files(commit)) if (!isModelFile(path)) found.add(path);
  }
  return [...found].sort();
}

async function hasModel(cache: RepoCache): Promise<boolean> {
  const isWeights = (path: string): boolean => /\.(gguf|safetensors)$/.test(path) && !path.endsWith(CALIBRATION_FILE);
  for (const commit of await cache.commits())
    if ((await cache.files(commit)).some(({ path }) => isWeights(path))) return true;
  return false;
}

async function refuseIfBusy(cache: RepoCache, name: string): Promise<void> {
  const folder = dirname(cache.lock("x"));
  for (const lock of await readdir(folder).catch(() => [])) {
    if (await isLocked(join(folder, lock)))
      throw refuse(`rm: ${name} is being downloaded; stop that, and remove it then`);
  }
}

async function removeLlamaCpp(ref: string, force: boolean, env: Environment): Promise<Removed> {
  const { name, directory, parts } = await findLlamaCppModel(ref, env);
  if (!force) throw refuse(`rm: ${name} is a file of llama.cpp (${directory}); --force removes it`);
  for (const { path } of parts) {
    // What llama.cpp notes of a file lies beside it.
    for (const end of ["", ".json", ".etag"]) await rm(join(directory, path + end), { force: true });
  }
  return { name, files: parts.length, freedBytes: parts.reduce((sum, { size }) => sum + size, 0) };
}

async function removeOllama(ref: string, force: boolean, env: Environment): Promise<Removed> {
  const model = await findOllamaModel(ref, env);
  const own = model.name.slice("ollama:".length);
  if (!force)
    throw refuse(`rm: ${model.name} is a model of Ollama; remove it there (ollama rm ${own}), or with --force`);
  const used = await blobsOfOthers(model);
  await rm(join(model.root, "manifests", model.manifest), { force: true });
  if (!used.has(model.weights)) await rm(ollamaCalibration(model, env), { force: true });
  let freedBytes = 0;
  let files = 0;
  for (const blob of new Set(model.blobs)) {
    if (used.has(blob)) continue;
    const path = join(model.root, "blobs", basename(blob));
    freedBytes += (await stat(path).catch(() => null))?.size ?? 0;
    files++;
    await rm(path, { force: true });
  }
  return { name: model.name, files, freedBytes };
}

const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null;

const refuse = (message: string): TurboQuantError => new TurboQuantError("invalid_argument", message);

const notHere = (name: string): TurboQuantError =>
  refuse(`rm: ${name} is not on this machine; see turboquant list for what is`);
