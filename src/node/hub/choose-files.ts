/** @file Which files of a repository are the model: safetensors with config and tokenizer, or the GGUF file of one quantization. */
import { TurboQuantError } from "../../errors.ts";
import {
  byPath,
  chooseModel,
  clipped,
  firstPath,
  type GgufModel,
  ggufModels,
  isBesideModels,
  isModelPath,
  type ModelsPlace,
} from "../../formats/gguf/model-files.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import { ggufStem } from "../../formats/model-name.ts";
import { isSafeFileName } from "../../formats/safe-file-name.ts";
import { CALIBRATION_FILE } from "../../models/calibration-file.ts";

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

/** Whether a path is one of those that are ever chosen: a file that another tool has put beside them is not. */
export const isModelFile = (path: string): boolean =>
  SIDE_FILES.has(path) ||
  /^(model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json)$/.test(path) ||
  path.endsWith(CALIBRATION_FILE) ||
  isModelPath(path);

/** Paths of the calibrations that a model takes: its own, and the folder's. */
export function calibrationsOf(model: GgufModel): [own: string, shared: string] {
  const path = firstPath(model);
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
  const model = chooseModel(placeOf(id), id, models);
  const sides = files.filter(({ path }) => path === "README.md" || calibrationsOf(model).includes(path));
  return {
    kind: "gguf",
    quant: model.quant,
    weights: firstPath(model),
    files: byPath([...model.parts, ...sides]),
  };
}

const placeOf = (id: HubId): ModelsPlace => ({
  prefix: "hub: ",
  name: hubName({ ...id, quant: null, file: null }),
  ref: (select) => hubName({ ...id, ...select }),
  repair: "pull it again, or take another one",
});

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
    : files.some(({ path }) => isBesideModels(path))
      ? "its GGUF files are parts that go with a model; take the repository of the model"
      : `it has ${clipped(kinds) || "no files"}; take a repository with safetensors or GGUF files, or convert it`;
  return new TurboQuantError("unsupported", `hub: ${name} has no model.safetensors and no GGUF model; ${why}`, {
    kinds,
  });
}
