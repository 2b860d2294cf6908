/** @file A quantized safetensors checkpoint as weights in formats of ours: the parts of each weight are put together when it is read. */
import { TurboQuantError } from "../../errors.ts";
import { weightFormat } from "../../weights/registry.ts";
import { matrixBytes } from "../../weights/weight-format.ts";
import type { TensorInfo, TensorSet } from "../checkpoint.ts";
import type { FileSource } from "../file-source.ts";
import { isJsonObject, readJson } from "../json-file.ts";
import type { StoredTensor } from "../safetensors-header.ts";
import type { Part, QuantizedWeight, ReadableWeight, Refuse } from "./scheme.ts";
import { schemeNames, schemeOf } from "./schemes.ts";

/** @throws TurboQuantError invalid_file, unsupported — no scheme that is read, or parts that do not fit it */
export async function quantizedTensors(source: FileSource, stored: readonly StoredTensor[]): Promise<TensorSet> {
  const config = (await source.has("config.json")) ? await readJson(source, "config.json") : {};
  const found = isJsonObject(config) ? schemeOf(config) : null;
  if (!found) {
    const odd = stored.find(({ dtype }) => dtype === null)!;
    throw new TurboQuantError(
      "unsupported",
      `${source.name}/${odd.file}: tensor ${odd.name}: got dtype ${odd.stored}, which is part of a quantized weight, but config.json has no quantization_config of ${schemeNames().join(", ")}; use the bf16 checkpoint of this model`,
      { file: odd.file, tensor: odd.name, dtype: odd.stored },
    );
  }
  const { scheme, settings } = found;
  const infos = new Map<string, TensorInfo>();
  const readers = new Map<string, () => Promise<Uint8Array>>();
  const add = (info: TensorInfo, read: () => Promise<Uint8Array>): void => {
    infos.set(info.name, info);
    readers.set(info.name, read);
  };
  const { weights, plain } = gather(source, stored, scheme.parts);
  for (const tensor of plain) add(plainInfo(source, tensor), () => readWhole(source, tensor));
  for (const weight of weights) {
    const readable = await scheme.weight(weight, settings, refusals(source, stored));
    if (readable) add(infoOf(weight, readable, stored), readable.read);
    else {
      for (const part of weight.parts.values()) {
        const tensor = stored.find(({ name }) => name === part.name)!;
        add(plainInfo(source, tensor), () => part.read());
      }
    }
  }
  return { tensors: infos, read: rangeReader(source, readers) };
}

/** Modules with a part of the scheme, and the tensors that belong to none. */
function gather(source: FileSource, stored: readonly StoredTensor[], names: readonly string[]) {
  const modules = new Map<string, Map<string, Part>>();
  const plain: StoredTensor[] = [];
  // The longest first: `weight.absmax` is not a part `absmax` of a module that ends in `.weight`.
  const ends = names.toSorted((a, b) => b.length - a.length);
  for (const tensor of stored) {
    const end = ends.find((name) => tensor.name.endsWith(`.${name}`));
    if (!end) {
      plain.push(tensor);
      continue;
    }
    const module = tensor.name.slice(0, -end.length - 1);
    const parts = modules.get(module) ?? new Map<string, Part>();
    const { name, stored: dtype, shape } = tensor;
    modules.set(module, parts.set(end, { name, stored: dtype, shape, read: () => readWhole(source, tensor) }));
  }
  const weights: QuantizedWeight[] = [];
  for (const [module, parts] of modules) {
    const [only] = parts.values();
    // A norm's `weight` by itself.
    if (parts.size === 1 && stored.find(({ name }) => name === only!.name)!.dtype) {
      plain.push(stored.find(({ name }) => name === only!.name)!);
    } else weights.push({ module, parts });
  }
  return { weights, plain };
}

const readWhole = (source: FileSource, { file, offset, numBytes }: StoredTensor): Promise<Uint8Array> =>
  source.read(file, offset, offset + numBytes);

function plainInfo(source: FileSource, tensor: StoredTensor): TensorInfo {
  const { name, dtype, shape, numBytes, file, stored } = tensor;
  if (dtype) return { name, dtype, shape, numBytes, file };
  throw new TurboQuantError(
    "unsupported",
    `${source.name}/${file}: tensor ${name}: got dtype ${stored}, which is no part of the quantization in config.json; use the bf16 checkpoint of this model`,
    { file, tensor: name, dtype: stored },
  );
}

function infoOf(
  { module, parts }: QuantizedWeight,
  { dtype, shape }: ReadableWeight,
  stored: readonly StoredTensor[],
): TensorInfo {
  const [first] = parts.values();
  const { file } = stored.find(({ name }) => name === first!.name)!;
  return { name: `${module}.weight`, dtype, shape, numBytes: matrixBytes(weightFormat(dtype), ...shape), file };
}

function refusals(source: FileSource, stored: readonly StoredTensor[]): Refuse {
  const refuse = (code: "invalid_file" | "unsupported", next: string) => (tensor: string, what: string) => {
    const file = stored.find(({ name }) => name === tensor)?.file ?? "config.json";
    return new TurboQuantError(code, `${source.name}/${file}: ${tensor}: ${what}; ${next}`, { file, tensor });
  };
  return {
    invalid: refuse(
      "invalid_file",
      "config.json and weights are of different checkpoints, download both from one place",
    ),
    unsupported: refuse("unsupported", "use another quantization of this model, or its bf16 checkpoint"),
  };
}

/** A weight is put together as a whole; ranges of the last one that was read are cut from it. */
function rangeReader(source: FileSource, readers: ReadonlyMap<string, () => Promise<Uint8Array>>): TensorSet["read"] {
  let last: { readonly name: string; readonly bytes: Promise<Uint8Array> } | null = null;
  return async (name, start = 0, end) => {
    const read = readers.get(name);
    if (!read) {
      throw new TurboQuantError(
        "invalid_file",
        `${source.name}: tensor ${name} is missing; the checkpoint is of another model than expected`,
        { tensor: name },
      );
    }
    if (last?.name !== name) last = { name, bytes: read() };
    const bytes = await last.bytes;
    return start === 0 && end === undefined ? bytes : bytes.subarray(start, end);
  };
}
