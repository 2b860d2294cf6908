/** @file The models among the GGUF files of a folder, an address or a repository, and which of them is meant. */
import { TurboQuantError } from "../../errors.ts";
import { byBits, canonicalQuant, defaultQuant, isReadQuant, quantOfPath } from "./quant-names.ts";

/** A file by its path below the place that is looked at. */
interface Listed {
  readonly path: string;
}

export interface GgufModel<F extends Listed = Listed> {
  readonly quant: string | null;
  /** One, or the parts of a split file in order. */
  readonly parts: readonly F[];
  readonly isWhole: boolean;
}

/** What was asked for. */
export interface Wanted {
  /** A quantization such as `Q4_K_M`, in capitals or not, without the `UD-` of Unsloth's or with it. */
  readonly quant: string | null;
  /** The path of one file, or the end of it. */
  readonly file: string | null;
}

/** Where the files are, for messages. */
export interface ModelsPlace {
  /** What stands before it in messages, such as `hub: `. */
  readonly prefix?: string;
  readonly name: string;
  /** How one of its models is named: its quantization, or its path where it has none. */
  ref(select: Wanted): string;
  /** What to do about parts that are missing. */
  readonly repair: string;
}

const PART = /-(\d{5})-of-(\d{5})(?=\.gguf$)/i;
/** GGUF files that are no language model by themselves. */
const NO_MODEL = /mmproj|imatrix|(?:^|\/)(?:mtp|eagle3|dflash|dspark)-/i;

export const isGgufPath = (path: string): boolean => /\.gguf$/i.test(path);
export const isModelPath = (path: string): boolean => isGgufPath(path) && !NO_MODEL.test(path);
/** Whether these are only what goes with a model. */
export const isBesideModels = (path: string): boolean => NO_MODEL.test(path);

/** By quantization, from few bits to many. */
export function ggufModels<F extends Listed>(files: readonly F[]): GgufModel<F>[] {
  const models = new Map<string, F[]>();
  for (const file of files) {
    if (!isModelPath(file.path)) continue;
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

export const firstPath = ({ parts }: GgufModel): string => parts[0]!.path;

/** The path, or the end of one, of any part. */
export const isNamed = (parts: readonly Listed[], file: string): boolean =>
  parts.some(({ path }) => path === file || path.endsWith(`/${file}`));

/**
 * The one that is meant; without a quantization and a file the default (`defaultQuant`).
 *
 * models: at least one
 * @throws TurboQuantError invalid_argument — none or several are meant; invalid_file — parts are missing; unsupported — a
 * quantization of types that are not read
 */
export function chooseModel<F extends Listed>(
  place: ModelsPlace,
  wanted: Wanted,
  models: readonly GgufModel<F>[],
): GgufModel<F> {
  const found =
    wanted.file === null ? ofQuant(wanted.quant, models) : models.filter(({ parts }) => isNamed(parts, wanted.file!));
  const [model] = found;
  const { prefix = "" } = place;
  const available = models.map(nameOf);
  if (!model) {
    throw new TurboQuantError(
      "invalid_argument",
      `${prefix}${place.name} has no ${wanted.file ?? wanted.quant}; it has ${listed(models)}; name one of these after the colon`,
      { available },
    );
  }
  if (found.length > 1) {
    const paths = found.map(firstPath);
    throw new TurboQuantError(
      "invalid_argument",
      `${prefix}${place.ref(wanted)} means ${found.length} models: ${clipped(paths)}; name one, such as ${place.ref({ quant: null, file: paths[0]! })}`,
      { available, found: paths },
    );
  }
  if (model.quant !== null && !isReadQuant(model.quant)) {
    const read = models.filter(({ quant }) => quant !== null && isReadQuant(quant));
    throw new TurboQuantError(
      "unsupported",
      `${prefix}${place.ref(wanted)}: ${model.quant} is of a type that is not read; take ${listed(read) || "another model"}`,
      { quant: model.quant },
    );
  }
  return whole(place, wanted, model);
}

/**
 * The only one.
 *
 * models: at least one
 * @throws TurboQuantError invalid_argument — there are several; invalid_file — parts are missing
 */
export function onlyModel<F extends Listed>(place: ModelsPlace, models: readonly GgufModel<F>[]): GgufModel<F> {
  const [first] = models as [GgufModel<F>];
  if (models.length > 1) {
    const select = { quant: first.quant, file: first.quant === null ? firstPath(first) : null };
    const isClear = select.quant === null || ofQuant(select.quant, models).length === 1;
    const example = place.ref(isClear ? select : { quant: null, file: firstPath(first) });
    throw new TurboQuantError(
      "invalid_argument",
      `${place.prefix ?? ""}${place.name}: expected one model, got ${clipped(models.map(firstPath))}; name one, such as ${example}`,
      { available: models.map(nameOf) },
    );
  }
  return whole(place, { quant: null, file: null }, first);
}

function whole<F extends Listed>(place: ModelsPlace, wanted: Wanted, model: GgufModel<F>): GgufModel<F> {
  if (model.isWhole) return model;
  const path = firstPath(model);
  throw new TurboQuantError(
    "invalid_file",
    `${place.prefix ?? ""}${place.ref(wanted)}: parts of ${path} are missing; ${place.repair}`,
    {
      file: path,
    },
  );
}

function ofQuant<F extends Listed>(asked: string | null, models: readonly GgufModel<F>[]): GgufModel<F>[] {
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

const nameOf = (model: GgufModel): string => model.quant ?? firstPath(model);

/** What the models are told apart by. */
const listed = (models: readonly GgufModel[]): string => clipped([...new Set(models.map(nameOf))]);

/** A hostile list does not fill the screen. */
export function clipped(names: readonly string[]): string {
  const shown = names.slice(0, 40).map((name) => name.slice(0, 120));
  return shown.join(", ") + (names.length > shown.length ? ` and ${names.length - shown.length} more` : "");
}

export const byPath = <F extends Listed>(files: readonly F[]): F[] =>
  [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
