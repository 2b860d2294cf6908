/** @file A quantized safetensors checkpoint as weights in formats of ours: the parts of each weight are put together when it is read. */
import { TurboQuantError } from "../../errors.ts";
import { weightFormat } from "../../weights/registry.ts";
import { matrixBytes } from "../../weights/weight-format.ts";
import type { TensorInfo, TensorSet } from "../checkpoint.ts";
import type { FileSource, ReadOptions } from "../file-source.ts";
import { isJsonObject, type JsonObject, readJson } from "../json-file.ts";
import type { StoredTensor } from "../safetensors-header.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { schemeNames, schemeOf } from "./schemes.ts";
import { ignoring } from "./settings.ts";

/** How many weights are described at the same time. */
const AT_ONCE = 16;

/** @throws TurboQuantError invalid_file, unsupported — no scheme that is read, or parts that do not fit it */
export async function quantizedTensors(source: FileSource, stored: readonly StoredTensor[]): Promise<TensorSet> {
  const config = await quantizedConfig(source);
  const found = schemeOf(config);
  if (!found) throw noScheme(source, stored, config);
  const { scheme, settings } = found;
  const infos = new Map<string, TensorInfo>();
  const readers = new Map<string, RangeReader>();
  const add = (info: TensorInfo, read: RangeReader): void => {
    infos.set(info.name, info);
    readers.set(info.name, read);
  };
  const addPlain = (tensor: StoredTensor): void => add(plainInfo(source, tensor), rangesOf(source, tensor));
  const lastOf = lastWhole();
  const byName = new Map(stored.map((tensor) => [tensor.name, tensor]));
  const refuse = refusals(source, byName);
  const { weights, plain } = gather(source, stored, scheme);
  for (const tensor of plain) addPlain(tensor);
  const described: (ReadableWeight | null)[] = [];
  // Some schemes read small parts to tell shapes.
  for (let first = 0; first < weights.length; first += AT_ONCE) {
    const some = weights.slice(first, first + AT_ONCE);
    described.push(...(await Promise.all(some.map((weight) => scheme.weight(weight, settings, refuse)))));
  }
  for (const [i, weight] of weights.entries()) {
    const readable = described[i];
    const tensors = Array.from(weight.parts.values(), ({ name }) => byName.get(name)!);
    const name = scheme.separator ? weight.module : `${weight.module}.weight`;
    if (readable) {
      const ignored = ignoring(weight.module, settings);
      if (ignored !== undefined)
        throw refuse.invalid(
          tensors[0]!.name,
          `expected a plain weight, as config.json leaves ${ignored} out of quantization, got ${tensors[0]!.stored}`,
        );
      add(infoOf(name, readable, tensors[0]!.file), lastOf(readable.read));
    } else {
      for (const tensor of tensors) {
        // What activations would be rounded with is no weight of ours, of whatever type.
        if (tensor.dtype || tensor.name === name) addPlain(tensor);
      }
    }
  }
  return {
    tensors: infos,
    async read(name, start = 0, end, options) {
      const read = readers.get(name);
      if (read) return await read(start, end, options);
      throw new TurboQuantError(
        "invalid_file",
        `${source.name}: tensor ${name} is missing; the checkpoint is of another model than expected`,
        { tensor: name },
      );
    },
  };
}

/** Files beside config.json in which early tools described the quantization, and the method that each of them stands for. */
const SIDE_FILES = { "quantize_config.json": "gptq", "quant_config.json": "awq" };

async function quantizedConfig(source: FileSource): Promise<JsonObject> {
  const config = (await source.has("config.json")) ? await readJson(source, "config.json") : {};
  if (!isJsonObject(config)) return {};
  if (isJsonObject(config["quantization_config"]) || isJsonObject(config["quantization"])) return config;
  for (const [file, method] of Object.entries(SIDE_FILES)) {
    if (!(await source.has(file))) continue;
    const settings = await readJson(source, file);
    if (isJsonObject(settings)) return { quantization_config: { quant_method: method, ...settings } };
  }
  return config;
}

function noScheme(source: FileSource, stored: readonly StoredTensor[], config: JsonObject): TurboQuantError {
  const names = schemeNames().join(", ");
  const settings = config["quantization_config"];
  if (isJsonObject(settings)) {
    const method = JSON.stringify(settings["quant_method"])?.slice(0, 40) ?? "nothing";
    return new TurboQuantError(
      "unsupported",
      `${source.name}/config.json: quantization_config.quant_method: expected one of ${names}, got ${method}; use another quantization of this model, or its bf16 checkpoint`,
      { file: "config.json", field: "quantization_config.quant_method" },
    );
  }
  const odd = stored.find(({ dtype }) => dtype === null)!;
  return new TurboQuantError(
    "unsupported",
    `${source.name}/${odd.file}: tensor ${odd.name}: got dtype ${odd.stored}, which is part of a quantized weight, but config.json has no quantization_config of ${names}; use the bf16 checkpoint of this model`,
    { file: odd.file, tensor: odd.name, dtype: odd.stored },
  );
}

/** Groups tensors by module where a module has a part of the scheme; other tensors stay by themselves. */
function gather(
  source: FileSource,
  stored: readonly StoredTensor[],
  { parts: names, separator: between }: Pick<QuantScheme, "parts" | "separator">,
) {
  const modules = new Map<string, Map<string, StoredTensor>>();
  const plain: StoredTensor[] = [];
  // The longest first: `weight.absmax` is not a part `absmax` of a module that ends in `.weight`.
  const ends = names.toSorted((a, b) => b.length - a.length);
  for (const tensor of stored) {
    const end = ends.find((name) => tensor.name.endsWith(`${between ?? "."}${name}`));
    if (!end) {
      plain.push(tensor);
      continue;
    }
    const module = tensor.name.slice(0, -end.length - 1);
    modules.set(module, (modules.get(module) ?? new Map<string, StoredTensor>()).set(end, tensor));
  }
  const weights: QuantizedWeight[] = [];
  for (const [module, tensors] of modules) {
    const [only] = tensors.values();
    // A norm's `weight` by itself.
    if (tensors.size === 1 && only!.dtype) plain.push(only!);
    else
      weights.push({ module, parts: new Map(Array.from(tensors, ([end, tensor]) => [end, partOf(source, tensor)])) });
  }
  return { weights, plain };
}

const partOf = (source: FileSource, tensor: StoredTensor): Part => ({
  name: tensor.name,
  stored: tensor.stored,
  shape: tensor.shape,
  numBytes: tensor.numBytes,
  read: () => readWhole(source, tensor),
});

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

const infoOf = (name: string, { dtype, shape }: ReadableWeight, file: string): TensorInfo => ({
  name,
  dtype,
  shape,
  numBytes: matrixBytes(
    weightFormat(dtype),
    shape.slice(0, -1).reduce((a, b) => a * b, 1),
    shape.at(-1) ?? 0,
  ),
  file,
});

function refusals(source: FileSource, byName: ReadonlyMap<string, StoredTensor>): Refuse {
  const refuse = (code: "invalid_file" | "unsupported", next: string) => (tensor: string, what: string) => {
    const file = byName.get(tensor)?.file ?? "config.json";
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

/** Bytes [start, end) of one tensor. */
type RangeReader = (start: number, end?: number, options?: ReadOptions) => Promise<Uint8Array>;

const rangesOf =
  (source: FileSource, { file, offset, numBytes }: StoredTensor): RangeReader =>
  (start, end = numBytes, options) =>
    source.read(file, offset + start, offset + end, options);

/** A weight can only be put together as a whole, so the last one that was read is kept and ranges are cut from it. */
function lastWhole(): (read: () => Promise<Uint8Array>) => RangeReader {
  let last: { readonly read: () => Promise<Uint8Array>; readonly bytes: Promise<Uint8Array> } | null = null;
  return (read) => async (start, end) => {
    if (last?.read !== read) last = { read, bytes: read() };
    const bytes = await last.bytes;
    return start === 0 && end === undefined ? bytes : bytes.subarray(start, end);
  };
}
