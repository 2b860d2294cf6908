/** @file The models in the hub's cache, whichever tool has put them there. */
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { ggufModels } from "../../formats/gguf/model-files.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import type { StoredFile } from "../hub/choose-files.ts";
import { isPartial } from "../hub/download-blob.ts";
import { type HubModel, modelOfSnapshot } from "../hub/pull-model.ts";
import { cachedRepos, type RepoCache } from "../hub/repo-cache.ts";
import type { ShelfEntry } from "./shelf-entry.ts";

/** Repositories without a model that can be read, such as one of images, are left out. */
export async function hubShelf(cacheDir: string): Promise<ShelfEntry[]> {
  const entries: ShelfEntry[] = [];
  for (const cache of await cachedRepos(cacheDir)) {
    const seen = new Set<string>();
    for (const { revision, commit } of await revisionsOf(cache)) {
      for (const model of await modelsOfSnapshot(cache, revision, commit)) {
        const entry = await entryOf(model);
        // An older commit of which the weights are the same is no other model.
        const weights = await realpath(join(model.directory, model.weights ?? largest(model.files).path));
        if (!seen.has(weights)) entries.push(entry);
        seen.add(weights);
      }
    }
    const unfinished = await partialEntry(cache);
    if (unfinished) entries.push(unfinished);
  }
  return entries;
}

/** Commits by the name they have: `main` and other branches first, then those that no branch has any more. */
async function revisionsOf(cache: RepoCache): Promise<{ revision: string; commit: string }[]> {
  const refs = [...(await cache.refs())].map(([revision, commit]) => ({ revision, commit }));
  refs.sort(
    (a, b) => Number(b.revision === "main") - Number(a.revision === "main") || (a.revision < b.revision ? -1 : 1),
  );
  const named = new Set(refs.map(({ commit }) => commit));
  const others = (await cache.commits()).filter((commit) => !named.has(commit));
  return [...refs, ...others.map((commit) => ({ revision: commit, commit }))];
}

async function modelsOfSnapshot(cache: RepoCache, revision: string, commit: string): Promise<HubModel[]> {
  const id: HubId = { repo: cache.repo, revision, quant: null, file: null };
  const models = ggufModels(await cache.files(commit)).filter(({ isWhole }) => isWhole);
  const isOnly = (quant: string | null): boolean => models.filter((other) => other.quant === quant).length === 1;
  const ids = models.map(({ quant, parts }) =>
    quant !== null && isOnly(quant) ? { ...id, quant } : { ...id, file: parts[0]!.path },
  );
  const found = await Promise.all([id, ...ids].map((each) => modelOfSnapshot(cache, each, commit)));
  // Without a quantization one of the GGUF files is meant, which has its own place in the list.
  return found.filter((model, i) => model !== null && (i > 0 || model.weights === null)) as HubModel[];
}

async function entryOf({ name, commit, quant, directory, weights, files }: HubModel): Promise<ShelfEntry> {
  const path = weights === null ? directory : join(directory, weights);
  return {
    name,
    origin: "hub",
    format: weights === null ? "safetensors" : "gguf",
    quant,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    path,
    revision: commit,
    modified: (await stat(path)).mtimeMs,
    isWhole: true,
  };
}

const largest = (files: readonly StoredFile[]): StoredFile => files.reduce((a, b) => (b.size > a.size ? b : a));

async function partialEntry(cache: RepoCache): Promise<ShelfEntry | null> {
  const folder = join(cache.folder, "blobs");
  const names = (await readdir(folder).catch(() => [])).filter(isPartial);
  const infos = await Promise.all(names.map((name) => stat(join(folder, name))));
  if (infos.length === 0) return null;
  return {
    name: hubName({ repo: cache.repo, revision: "main", quant: null, file: null }),
    origin: "hub",
    format: "safetensors",
    quant: null,
    bytes: infos.reduce((sum, { size }) => sum + size, 0),
    path: folder,
    revision: null,
    modified: Math.max(...infos.map(({ mtimeMs }) => mtimeMs)),
    isWhole: false,
  };
}
