/** @file Opens the checkpoint in a source: the first kind of weight file in the registry that the source contains. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint, CheckpointContainer, Description, TensorSet } from "./checkpoint.ts";
import { fingerprintOf } from "./checkpoint-fingerprint.ts";
import type { FileSource, ReadOptions } from "./file-source.ts";
import { gguf } from "./gguf/gguf.ts";
import { readJson } from "./json-file.ts";
import { nameOfPlace } from "./model-name.ts";
import { safetensors } from "./safetensors.ts";

/** The known kinds of weight files, in the order in which they are looked for. */
const containers: readonly CheckpointContainer[] = [safetensors, gguf];

/** Finds out which files the source has. The config and the headers are read later, on first use. */
export async function openCheckpoint(source: FileSource): Promise<Checkpoint> {
  for (const container of containers) {
    if (await container.isIn(source)) return new OpenCheckpoint(source, container, await container.describe?.(source));
  }
  return new OpenCheckpoint(source, null);
}

class OpenCheckpoint implements Checkpoint {
  readonly name: string;
  readonly modelName: string;
  readonly container: string | null;
  readonly files: FileSource;
  readonly isLocal: boolean;
  readonly configFile: string;
  readonly stem: string | null;
  readonly #openTensors: () => Promise<TensorSet>;
  #opened: Promise<TensorSet> | null = null;
  #nameInFile: TensorSet["nameInFile"];
  #fingerprint: Promise<string> | undefined;

  constructor(source: FileSource, container: CheckpointContainer | null, description?: Description) {
    this.name = source.name;
    this.modelName = description?.modelName ?? source.modelName ?? nameOfPlace(source.name);
    this.container = container?.name ?? null;
    this.files = description?.files ?? source;
    this.isLocal = source.isLocal ?? false;
    this.configFile = description?.configFile ?? `${source.name}/config.json`;
    this.stem = description?.stem ?? null;
    this.#openTensors = async () => {
      if (!container) throw await noWeights(source);
      return container.openTensors(source);
    };
  }

  config(): Promise<unknown> {
    return readJson(this.files, "config.json");
  }

  async tensors(): Promise<TensorSet["tensors"]> {
    const { tensors, nameInFile } = await this.#open();
    this.#nameInFile = nameInFile;
    return tensors;
  }

  nameInFile(name: string): string {
    return this.#nameInFile?.(name) ?? name;
  }

  async read(name: string, start?: number, end?: number, options?: ReadOptions): Promise<Uint8Array> {
    return (await this.#open()).read(name, start, end, options);
  }

  fingerprint(): Promise<string> {
    this.#fingerprint ??= fingerprintOf(this);
    return this.#fingerprint;
  }

  #open(): Promise<TensorSet> {
    this.#opened ??= this.#openTensors();
    return this.#opened;
  }
}

async function noWeights(source: FileSource): Promise<TurboQuantError> {
  const expected = "expected model.safetensors or model.safetensors.index.json";
  for (const file of ["adapter_model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"]) {
    if (!(await source.has(file))) continue;
    const next = file.startsWith("adapter")
      ? "merge the adapter into its base model first"
      : "convert it to safetensors first";
    return new TurboQuantError("unsupported", `${source.name}: ${expected}, got only ${file}; ${next}`, { file });
  }
  return new TurboQuantError(
    "invalid_file",
    `${source.name}: ${expected}, got neither, and no .gguf file; check that this is a Hugging Face checkpoint directory and that its download finished, or name a .gguf file itself`,
  );
}
