/** @file A model in files of the user's: a folder, a GGUF file, or one of the GGUF files in a folder and its subfolders (`DIR:Q4_K_M`). */
import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import {
  chooseModel,
  firstPath,
  type GgufModel,
  ggufModels,
  type ModelsPlace,
  onlyModel,
} from "../formats/gguf/model-files.ts";
import { filesBelow } from "./hub/repo-cache.ts";

export interface LocalModel {
  readonly directory: string;
  /** The GGUF file in `directory`, the first of a split one; null where the folder is the model. */
  readonly weights: string | null;
}

/** What `DIR:QUANT` is of. A folder has a slash here: `llama.cpp:…` and `ollama:…` are names of other models. */
const WITH_QUANT = /^(.*[\\/].*):([\w][\w.+-]*)$/;

/**
 * Null where there are no such files.
 * @throws TurboQuantError invalid_argument — a file of another kind, or several models are meant; invalid_file — parts are missing
 */
export async function findLocalModel(ref: string): Promise<LocalModel | null> {
  const info = await stat(ref).catch(() => null);
  if (info?.isDirectory()) return await modelOfFolder(ref);
  if (info?.isFile() && (await isGgufFile(ref))) return { directory: dirname(ref), weights: basename(ref) };
  if (info) {
    throw new TurboQuantError(
      "invalid_argument",
      `model: expected a directory with config.json or a GGUF file, got the file ${ref}, which is neither by its name nor by its first bytes; pass the directory it lies in`,
      { ref },
    );
  }
  const [, folder, quant] = WITH_QUANT.exec(ref) ?? [];
  return folder && quant ? await modelOfQuant(folder, quant) : null;
}

/**
 * By its name, which is then held to it, or else by its first bytes: the hub's cache, Ollama's and some downloads have names without
 * an ending.
 */
export async function isGgufFile(path: string): Promise<boolean> {
  if (path.endsWith(".gguf")) return true;
  const file = await open(path).catch(() => null);
  try {
    const { buffer, bytesRead } = (await file?.read(new Uint8Array(4), 0, 4, 0)) ?? {};
    return bytesRead === 4 && new TextDecoder().decode(buffer) === "GGUF";
  } catch {
    return false;
  } finally {
    await file?.close();
  }
}

/** The folder itself, or the one GGUF model in its subfolders where it has no weights of its own. */
async function modelOfFolder(folder: string): Promise<LocalModel> {
  const itself = { directory: folder, weights: null };
  const own = await filesBelow(folder, 0);
  if (own.some(({ path }) => /^model\.safetensors(\.index\.json)?$/.test(path)) || ggufModels(own).length > 0)
    return itself;
  const models = ggufModels(await filesBelow(folder, 1));
  return models.length === 0 ? itself : weightsOf(folder, onlyModel(placeOf(folder), models));
}

async function modelOfQuant(folder: string, quant: string): Promise<LocalModel | null> {
  const models = ggufModels(await filesBelow(folder, 1));
  if (models.length === 0) return null;
  return weightsOf(folder, chooseModel(placeOf(folder), { quant, file: null }, models));
}

const placeOf = (folder: string): ModelsPlace => ({
  name: folder,
  ref: ({ quant, file }) => (quant === null ? join(folder, file ?? "") : `${folder.replace(/[\\/]+$/, "")}:${quant}`),
  repair: "download them",
});

function weightsOf(folder: string, model: GgufModel): LocalModel {
  const path = join(folder, firstPath(model));
  return { directory: dirname(path), weights: basename(path) };
}
