/** @file The models on this machine that can be named: of this package, of the hub's cache, of llama.cpp and of Ollama. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { hubCacheDirectory } from "../hub/hub-settings.ts";
import { EMBEDDED_MODELS, embeddedModelDirectory } from "../package-root.ts";
import { hubShelf } from "./hub-shelf.ts";
import { llamaCppShelf } from "./llama-cpp-cache.ts";
import { ollamaShelf } from "./ollama-store.ts";
import type { ShelfEntry } from "./shelf-entry.ts";

/** In order of origin and name. Folders that cannot be read count as empty. */
export async function listShelf(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ShelfEntry[]> {
  const parts = [packageShelf(), hubShelf(hubCacheDirectory(env)), llamaCppShelf(env), ollamaShelf(env)];
  return (await Promise.all(parts)).flat();
}

async function packageShelf(): Promise<ShelfEntry[]> {
  const entries: ShelfEntry[] = [];
  for (const name of EMBEDDED_MODELS) {
    const path = embeddedModelDirectory(name);
    if (path === undefined) continue;
    const files = await Promise.all((await readdir(path)).map((file) => stat(join(path, file))));
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const modified = Math.max(...files.map(({ mtimeMs }) => mtimeMs));
    entries.push({
      name,
      origin: "package",
      format: "safetensors",
      quant: null,
      bytes,
      path,
      revision: null,
      modified,
      isWhole: true,
    });
  }
  return entries;
}
