/** @file GGUF files in the cache that llama.cpp had before it took the hub's: one folder of files. */
import { readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { closest } from "../../closest.ts";
import { TurboQuantError } from "../../errors.ts";
import { type GgufModel, ggufModels } from "../../formats/gguf/model-files.ts";
import type { StoredFile } from "../hub/choose-files.ts";
import type { ShelfEntry } from "./shelf-entry.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "llama.cpp:";

export interface LlamaCppModel {
  readonly name: string;
  readonly directory: string;
  /** The first part of a split one. */
  readonly file: string;
  readonly quant: string | null;
  readonly parts: readonly StoredFile[];
}

export const isLlamaCppName = (ref: string): boolean => ref.startsWith(PREFIX);

/** @throws TurboQuantError invalid_argument — there is no such file */
export async function findLlamaCppModel(ref: string, env: Environment = process.env): Promise<LlamaCppModel> {
  const models = await llamaCppModels(env);
  const name = ref.endsWith(".gguf") ? ref : `${ref}.gguf`;
  const found = models.find((model) => model.name === name || model.parts.some(({ path }) => PREFIX + path === name));
  if (found) return found;
  const names = models.map((model) => model.name);
  const near = closest(name, names);
  throw new TurboQuantError(
    "invalid_argument",
    `${ref}: no such file in ${cacheDirectory(env)}; ${near ? `did you mean ${near}?` : "see turboquant list"}`,
    { ref },
  );
}

export async function llamaCppShelf(env: Environment): Promise<ShelfEntry[]> {
  const models = await llamaCppModels(env);
  return Promise.all(
    models.map(async ({ name, directory, file, quant, parts }) => ({
      name,
      origin: "llama.cpp" as const,
      format: "gguf" as const,
      quant,
      bytes: parts.reduce((sum, { size }) => sum + size, 0),
      path: join(directory, file),
      revision: null,
      modified: (await stat(join(directory, file))).mtimeMs,
      isWhole: true,
    })),
  );
}

async function llamaCppModels(env: Environment): Promise<LlamaCppModel[]> {
  const directory = cacheDirectory(env);
  const files: StoredFile[] = [];
  for (const path of await readdir(directory).catch(() => [])) {
    const info = await stat(join(directory, path)).catch(() => null);
    if (info?.isFile()) files.push({ path, size: info.size });
  }
  const modelOf = ({ quant, parts }: GgufModel<StoredFile>): LlamaCppModel => {
    const file = parts[0]!.path;
    return { name: PREFIX + file, directory, file, quant, parts };
  };
  return ggufModels(files)
    .filter(({ isWhole }) => isWhole)
    .map(modelOf)
    .sort((a, b) => (a.file < b.file ? -1 : 1));
}

/** `LLAMA_CACHE`, or the place that the system has for caches. */
function cacheDirectory(env: Environment): string {
  if (env["LLAMA_CACHE"]) return env["LLAMA_CACHE"];
  if (process.platform === "darwin") return join(homedir(), "Library/Caches/llama.cpp");
  if (process.platform === "win32") return join(env["LOCALAPPDATA"] ?? homedir(), "llama.cpp");
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "llama.cpp");
}
