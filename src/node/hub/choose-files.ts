/** @file Which files of a repository are the model: safetensors with config and tokenizer, or the GGUF file of one quantization. */
import { TurboQuantError } from "../../errors.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import { ggufStem } from "../../formats/model-name.ts";
import { isSafeFileName } from "../../formats/safe-file-name.ts";
import { CALIBRATION_FILE } from "../../models/calibration-file.ts";
import { byBits, canonicalQuant, defaultQuant, isReadQuant, quantOfPath } from "./quant-names.ts";

export interface StoredFile {
  readonly path: string;
  readonly size: number;
}

export interface ChosenFiles<F extends StoredFile> {
  readonly kind: "safetensors" | "gguf";
  /** Of a GGUF file; null where its name says none. */
  readonly quant: string | null;
  /** The GGUF file to open, the first of a split one. */
  readonly weights: string | null;
  /** Without repetition, in order of their paths. */
  readonly files: readonly F[];
}

/** Read when they are there: what a model is besides its weights, and the card, which names the licence. */
const SIDE_FILES = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates/tool_use.jinja",
  "quantize_config.json",
  CALIBRATION_FILE,
  "README.md",
]);
const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const PART = /-(\d{5})-of-(\d{5})(?=\.gguf$)/i;
/** GGUF files that are no language model by themselves. */
const NO_MODEL = /mmproj|imatrix|(?:^|\/)(?:mtp|eagle3|dflash|dspark)-/i;

const isGgufPath = (path: string): boolean => /\.gguf$/i.test(path);

/**
 * @param id what was asked for; without a quantization safetensors are taken where there are any, else the default of the GGUF files
 * @param files of the repository's revision, or of what is left of it on this machine
 * @param readText the text of a file that is listed
 * @throws TurboQuantError invalid_argument — nothing or more than one thing is meant: says what there is; unsupported — there is no
 * model that can be read; invalid_file — parts are missing
 */
export async function chooseFiles<F extends StoredFile>(
  id: HubId,
  files: readonly F[],
  readText: (file: F) => Promise<string>,
): Promise<ChosenFiles<F>> {
  const has = (path: string): boolean => files.some((file) => file.path === path);
  const wantsGguf = id.quant !== null || id.file !== null;
  if (!wantsGguf && (has(SINGLE) || has(INDEX))) return await safetensorsFiles(id, files, readText);
  return ggufFiles(id, files);
}

/** The models among the GGUF files of a repository, by quantization, from few bits to many. */
export function ggufModels<F extends StoredFile>(files: readonly F[]): GgufModel<F>[] {
  const models = new Map<string, F[]>();
  for (const file of files) {
    if (!isGgufPath(file.path) || NO_MODEL.test(file.path)) continue;
    const name = file.path.replace(PART, "");
    models.set(name, [...(models.get(name) ?? []), file]);
  }
  return [...models.values()]
    .map((parts) => {
      const sorted = byPath(parts);
      const count = Number(PART.exec(sorted[0]!.path)?.[2] ?? 1);
      return { quant: quantOfPath(sorted[0]!.path), parts: sorted, isWhole: sorted.length === count };
    })
    .sort((a, b) => byBits(a.quant ?? "", b.quant ?? ""));
}

/** Whether a path is one of those that are ever chosen: a file that another tool has put beside them is not. */
export const isModelFile = (path: string): boolean =>
  SIDE_FILES.has(path) ||
  /^(model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json)$/.test(path) ||
  path.endsWith(CALIBRATION_FILE) ||
  (isGgufPath(path) && !NO_MODEL.test(path));

export interface GgufModel<F extends StoredFile> {
  readonly quant: string | null;
  /** One, or the parts of a split file in order. */
  readonly parts: readonly F[];
  readonly isWhole: boolean;
}

/** Paths of the calibrations that a model takes: its own, and the folder's. */
export function calibrationsOf<F extends StoredFile>({ parts }: GgufModel<F>): [own: string, shared: string] {
  const { path } = parts[0]!;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  return [`${folder}${ggufStem(path)}.${CALIBRATION_FILE}`, folder + CALIBRATION_FILE];
}

async function safetensorsFiles<F extends StoredFile>(
  id: HubId,
  files: readonly F[],
  readText: (file: F) => Promise<string>,
): Promise<ChosenFiles<F>> {
  const byName = new Map(files.map((file) => [file.path, file]));
  const wanted = new Set(SIDE_FILES);
  const index = byName.get(INDEX);
  if (byName.has(SINGLE) || !index) wanted.add(SINGLE);
  else for (const path of [INDEX, ...shardsOf(id, await readText(index))]) wanted.add(path);
  const isSide = (path: string): boolean => SIDE_FILES.has(path) && path !== "config.json";
  for (const path of [...wanted, "config.json"]) {
    if (isSide(path) || byName.has(path)) continue;
    throw new TurboQuantError(
      "invalid_file",
      `hub: ${hubName(id)} has no ${path}; its upload is not complete, take another revision`,
      {
        file: path,
      },
    );
  }
  return {
    kind: "safetensors",
    quant: null,
    weights: null,
    files: byPath(files.filter(({ path }) => wanted.has(path))),
  };
}

function shardsOf(id: HubId, text: string): Set<string> {
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch {
    index = null;
  }
  const map = (index as { weight_map?: Record<string, unknown> } | null)?.weight_map;
  const shards = typeof map === "object" && map !== null ? Object.values(map) : [];
  if (shards.length === 0 || shards.some((shard) => typeof shard !== "string" || !isSafeFileName(shard))) {
    throw new TurboQuantError(
      "invalid_file",
      `hub: ${hubName(id)}: ${INDEX}: expected a weight_map that names files; take another revision`,
    );
  }
  return new Set(shards as string[]);
}

function ggufFiles<F extends StoredFile>(id: HubId, files: readonly F[]): ChosenFiles<F> {
  const models = ggufModels(files);
  if (models.length === 0) throw noModel(id, files);
  const found =
    id.file === null ? modelsOfQuant(id.quant, models) : models.filter(({ parts }) => isNamed(parts, id.file!));
  const [model] = found;
  if (found.length !== 1 || !model) throw unclear(id, models, found);
  if (!model.isWhole) {
    const { path } = model.parts[0]!;
    throw new TurboQuantError(
      "invalid_file",
      `hub: ${hubName(id)}: parts of ${path} are missing; pull it again, or take another one`,
      {
        file: path,
      },
    );
  }
  if (model.quant !== null && !isReadQuant(model.quant)) {
    throw new TurboQuantError(
      "unsupported",
      `hub: ${hubName(id)}: ${model.quant} is of a type that is not read; take ${listed(models.filter(({ quant }) => quant !== null && isReadQuant(quant))) || "another repository"}`,
      { quant: model.quant },
    );
  }
  const sides = files.filter(({ path }) => path === "README.md" || calibrationsOf(model).includes(path));
  return {
    kind: "gguf",
    quant: model.quant,
    weights: model.parts[0]!.path,
    files: byPath([...model.parts, ...sides]),
  };
}

/** The path, or the end of one, of any part. */
export const isNamed = (parts: readonly StoredFile[], file: string): boolean =>
  parts.some(({ path }) => path === file || path.endsWith(`/${file}`));

/** asked: in capitals or not, without the `UD-` of Unsloth's or with it; null for the default */
export function modelsOfQuant<F extends StoredFile>(
  asked: string | null,
  models: readonly GgufModel<F>[],
): GgufModel<F>[] {
  if (asked === null) {
    const quants = models.flatMap(({ quant }) => (quant === null ? [] : [quant]));
    const best = defaultQuant(quants);
    // A file whose name says nothing is meant only where it is the only one.
    return models.filter(({ quant }) => quant === (best ?? null));
  }
  const wanted = canonicalQuant(asked);
  const exact = models.filter(({ quant }) => quant === wanted);
  return exact.length > 0 ? exact : models.filter(({ quant }) => quant === `UD-${wanted}`);
}

function unclear<F extends StoredFile>(
  id: HubId,
  models: readonly GgufModel<F>[],
  found: readonly GgufModel<F>[],
): TurboQuantError {
  const all = { available: models.map(({ quant, parts }) => quant ?? parts[0]!.path) };
  if (found.length > 1) {
    const paths = found.map(({ parts }) => parts[0]!.path);
    return new TurboQuantError(
      "invalid_argument",
      `hub: ${hubName(id)} means ${found.length} models: ${clipped(paths)}; name one, such as ${hubName({ ...id, quant: null, file: paths[0]! })}`,
      { ...all, found: paths },
    );
  }
  const what = id.file ?? id.quant;
  return new TurboQuantError(
    "invalid_argument",
    `hub: ${hubName({ ...id, quant: null, file: null })} has no ${what}; it has ${listed(models)}; name one of these after the colon`,
    all,
  );
}

function noModel(id: HubId, files: readonly StoredFile[]): TurboQuantError {
  const name = hubName({ ...id, quant: null, file: null });
  const has = (pattern: RegExp): boolean => files.some(({ path }) => pattern.test(path));
  if (has(/^model(\.safetensors\.index\.json|\.safetensors)$/)) {
    return new TurboQuantError(
      "invalid_argument",
      `hub: ${name} has no GGUF files but safetensors; name it without the colon: ${name}`,
    );
  }
  const kinds = [...new Set(files.map(({ path }) => /\.[A-Za-z0-9]+$/.exec(path)?.[0] ?? path))].sort();
  const why = has(/^adapter_model\./)
    ? "it is an adapter; merge it into its base model first"
    : has(NO_MODEL)
      ? "its GGUF files are parts that go with a model; take the repository of the model"
      : `it has ${clipped(kinds) || "no files"}; take a repository with safetensors or GGUF files, or convert it`;
  return new TurboQuantError("unsupported", `hub: ${name} has no model.safetensors and no GGUF model; ${why}`, {
    kinds,
  });
}

/** What the models are told apart by. */
export const listed = <F extends StoredFile>(models: readonly GgufModel<F>[]): string =>
  clipped([...new Set(models.map(({ quant, parts }) => quant ?? parts[0]!.path))]);

/** A hostile list does not fill the screen. */
export function clipped(names: readonly string[]): string {
  const shown = names.slice(0, 40).map((name) => name.slice(0, 120));
  return shown.join(", ") + (names.length > shown.length ? ` and ${names.length - shown.length} more` : "");
}

const byPath = <F extends StoredFile>(files: readonly F[]): F[] =>
  [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
