/** @file Models that Ollama has pulled: manifests by name, which refer to GGUF files by their hash. */
import { readdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import type { FileSource, ReadOptions } from "../../formats/file-source.ts";
import { quantOfPath } from "../../formats/gguf/quant-names.ts";
import { ggufStem } from "../../formats/model-name.ts";
import { isSafeFileName } from "../../formats/safe-file-name.ts";
import { CALIBRATION_FILE } from "../../models/calibration-file.ts";
import { DirectorySource } from "../directory-source.ts";
import { hubCacheDirectory } from "../hub/hub-settings.ts";
import type { ShelfEntry } from "./shelf-entry.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "ollama:";
const REGISTRY = "registry.ollama.ai";
const MEDIA = "application/vnd.ollama.image.";
/** A manifest is a list of a few hashes. */
const MAX_MANIFEST_BYTES = 1 << 20;

export interface OllamaModel {
  /** `ollama:llama3.2:1b` */
  readonly name: string;
  /** Ollama's folder of models. */
  readonly root: string;
  readonly manifest: string;
  /** Names of all files in `blobs/` that the manifest refers to. */
  readonly blobs: readonly string[];
  /** The GGUF file among them, and its size. */
  readonly weights: string;
  readonly bytes: number;
  readonly license: string | null;
}

export const isOllamaName = (ref: string): boolean => ref.startsWith(PREFIX);

/** @throws TurboQuantError invalid_argument — no such model; unsupported — it is no single GGUF file; invalid_file — damaged */
export async function findOllamaModel(ref: string, env: Environment = process.env): Promise<OllamaModel> {
  const path = manifestPath(ref.slice(PREFIX.length));
  for (const root of path === null ? [] : rootsOf(env)) {
    if ((await stat(join(root, "manifests", path!)).catch(() => null))?.isFile()) return await readModel(root, path!);
  }
  const names = (await ollamaShelf(env)).map(({ name }) => name);
  throw new TurboQuantError(
    "invalid_argument",
    `${ref}: Ollama has no such model on this machine${names.length > 0 ? `; it has ${names.slice(0, 20).join(", ")}` : ` (${rootsOf(env).join(", ")})`}; check the name, or OLLAMA_MODELS`,
    { ref },
  );
}

/** The GGUF file under a name that says it is one, and its calibration. */
export const ollamaSource = (model: OllamaModel, env: Environment = process.env): FileSource =>
  new OllamaSource(model, env);

/**
 * Where the calibration of a model goes: Ollama's folder is its own, and may be another user's, so it lies in the hub's cache. By the
 * hash of the weights, which several names may have.
 */
export const ollamaCalibration = ({ weights }: OllamaModel, env: Environment = process.env): string =>
  join(hubCacheDirectory(env), "ollama", `${weights}.${CALIBRATION_FILE}`);

export async function ollamaShelf(env: Environment): Promise<ShelfEntry[]> {
  const entries: ShelfEntry[] = [];
  for (const root of rootsOf(env)) {
    for (const manifest of await manifestsBelow(join(root, "manifests"))) {
      // Models of other kinds, of which the files are no single GGUF, are not for this list.
      const model = await readModel(root, manifest).catch(() => null);
      if (!model) continue;
      const path = join(root, "blobs", model.weights);
      const info = await stat(path).catch(() => null);
      if (!info) continue;
      entries.push({
        name: model.name,
        origin: "ollama",
        format: "gguf",
        quant: quantOfPath(model.name.replace(/.*:/, "")),
        bytes: model.bytes,
        path,
        revision: null,
        modified: (await stat(join(root, "manifests", manifest))).mtimeMs,
        isWhole: true,
      });
    }
  }
  return entries;
}

/** Files in `blobs/` that other models than this one refer to. */
export async function blobsOfOthers(model: OllamaModel): Promise<Set<string>> {
  const used = new Set<string>();
  for (const path of await manifestsBelow(join(model.root, "manifests"))) {
    if (path === model.manifest) continue;
    for (const layer of layersOf(await readManifest(join(model.root, "manifests", path)))) used.add(layer.blob);
  }
  return used;
}

class OllamaSource implements FileSource {
  readonly name: string;
  readonly modelName: string;
  readonly weights: string;
  readonly isLocal = true;
  /** Where the model's calibration is, or would be. */
  readonly calibrationPath: string;
  readonly #sources: readonly DirectorySource[];
  readonly #stored: ReadonlyMap<string, readonly [source: DirectorySource, file: string]>;

  constructor(model: OllamaModel, env: Environment) {
    this.name = model.name;
    this.modelName = model.name.slice(PREFIX.length);
    this.weights = `${this.modelName.replace(/[:/]/g, "-")}.gguf`;
    const blobs = new DirectorySource(join(model.root, "blobs"), model.name);
    const calibration = ollamaCalibration(model, env);
    this.calibrationPath = calibration;
    const calibrations = new DirectorySource(dirname(calibration));
    this.#sources = [blobs, calibrations];
    this.#stored = new Map([
      [this.weights, [blobs, model.weights]],
      [`${ggufStem(this.weights)}.${CALIBRATION_FILE}`, [calibrations, basename(calibration)]],
    ]);
  }

  list = async (): Promise<string[]> => [this.weights];
  async has(file: string): Promise<boolean> {
    const stored = this.#stored.get(file);
    return stored !== undefined && (await stored[0].has(stored[1]));
  }
  size(file: string): Promise<number> {
    const [source, stored] = this.#find(file);
    return source.size(stored);
  }
  read(file: string, start: number, end: number, options?: ReadOptions): Promise<Uint8Array> {
    const [source, stored] = this.#find(file);
    return source.read(stored, start, end, options);
  }
  async close(): Promise<void> {
    for (const source of this.#sources) await source.close();
  }

  /** Other names stay as they are, and are not found. */
  #find(file: string): readonly [source: DirectorySource, file: string] {
    return this.#stored.get(file) ?? [this.#sources[0]!, file];
  }
}

interface Layer {
  readonly kind: string;
  readonly blob: string;
  readonly size: number;
}

async function readModel(root: string, manifest: string): Promise<OllamaModel> {
  const name = nameOf(manifest);
  const value = await readManifest(join(root, "manifests", manifest));
  const layers = layersOf(value);
  const models = layers.filter(({ kind }) => kind === "model");
  const [weights] = models;
  if (!weights || models.length > 1 || layers.some(({ kind }) => kind === "adapter")) {
    const what = layers.some(({ kind }) => kind === "adapter") ? "an adapter" : `${models.length} model files`;
    throw new TurboQuantError(
      "unsupported",
      `${name}: expected a model of one GGUF file, got ${what}; take a model without`,
      { name },
    );
  }
  const license = layers.find(({ kind }) => kind === "license");
  return {
    name,
    root,
    manifest,
    blobs: layers.map(({ blob }) => blob),
    weights: weights.blob,
    bytes: weights.size,
    license: license ? await firstLine(join(root, "blobs", license.blob)) : null,
  };
}

async function readManifest(path: string): Promise<unknown> {
  try {
    if ((await stat(path)).size > MAX_MANIFEST_BYTES) return null;
    return JSON.parse(await readFile(path, "utf8")) as unknown;
  } catch {
    return null;
  }
}

function layersOf(manifest: unknown): Layer[] {
  const { layers, config } = (manifest ?? {}) as { layers?: unknown; config?: unknown };
  const all = [...(Array.isArray(layers) ? layers : []), config] as ({
    mediaType?: unknown;
    digest?: unknown;
    size?: unknown;
  } | null)[];
  return all.flatMap((layer) => {
    const { mediaType, digest, size } = layer ?? {};
    if (typeof digest !== "string" || !/^sha256:[0-9a-f]{64}$/.test(digest)) return [];
    const kind = typeof mediaType === "string" ? mediaType.replace(MEDIA, "") : "";
    return [{ kind, blob: digest.replace(":", "-"), size: typeof size === "number" ? size : 0 }];
  });
}

async function firstLine(path: string): Promise<string | null> {
  const text = await readFile(path, "utf8").catch(() => "");
  return (
    text
      .split("\n")
      .map((line) => line.trim())
      .find((line) => line !== "")
      ?.slice(0, 100) ?? null
  );
}

/** `llama3.2:1b` → `registry.ollama.ai/library/llama3.2/1b`; null for what is no name. */
function manifestPath(name: string): string | null {
  const [, path = "", tag = "latest"] = /^(.+?)(?::([\w][\w.-]*))?$/.exec(name) ?? [];
  const parts = path.split("/");
  const full = parts.length === 1 ? [REGISTRY, "library", ...parts] : parts.length === 2 ? [REGISTRY, ...parts] : parts;
  const joined = [...full, tag].join("/");
  return full.length === 3 && isSafeFileName(joined) ? joined : null;
}

function nameOf(manifest: string): string {
  const [host = "", namespace = "", model = "", tag = ""] = manifest.split("/");
  const path = host !== REGISTRY ? [host, namespace, model] : namespace !== "library" ? [namespace, model] : [model];
  return `${PREFIX}${path.join("/")}:${tag}`;
}

/** `host/namespace/model/tag` of each. */
async function manifestsBelow(folder: string): Promise<string[]> {
  let paths = [""];
  for (let depth = 0; depth < 4; depth++) {
    const deeper = await Promise.all(
      paths.map(async (path) =>
        (await readdir(join(folder, path)).catch(() => [])).map((name) => (path ? `${path}/${name}` : name)),
      ),
    );
    paths = deeper.flat();
  }
  return paths.sort();
}

/** `OLLAMA_MODELS`, or the user's folder and that of the service. */
function rootsOf(env: Environment): string[] {
  if (env["OLLAMA_MODELS"]) return [env["OLLAMA_MODELS"]];
  return [
    join(homedir(), ".ollama/models"),
    ...(process.platform === "linux" ? ["/usr/share/ollama/.ollama/models"] : []),
  ];
}
