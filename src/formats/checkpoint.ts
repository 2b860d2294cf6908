/** @file The interface that models are loaded through, whatever kind of file holds the weights. */
import type { WeightType } from "../weights/registry.ts";
import type { FileSource, ReadOptions } from "./file-source.ts";

export interface TensorInfo {
  /** The name Transformers saves it under, e.g. `model.layers.3.self_attn.q_proj.weight`. */
  readonly name: string;
  /** The weight format it is stored in. */
  readonly dtype: WeightType;
  readonly shape: readonly number[];
  readonly numBytes: number;
  /** Name of the file that contains it. */
  readonly file: string;
  /** Set when the tensor is known to have no NaN and no infinity; loading then skips the check. */
  readonly isFinite?: true;
}

/** Tensors with their bytes: little endian, row-major, rows of whole blocks. */
export interface TensorSet {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What the file calls a tensor, whether or not it has it, for messages; absent where that is Transformers' name. */
  nameInFile?(name: string): string;
  /**
   * Bytes [start, end) of a tensor, all of them by default.
   * @throws TurboQuantError invalid_file — no such tensor, or truncated
   */
  read(name: string, start?: number, end?: number, options?: ReadOptions): Promise<Uint8Array>;
}

export interface Checkpoint {
  /** The directory, URL or hub id, for messages. */
  readonly name: string;
  /** What it is called wherever it is shown; never a path. */
  readonly modelName: string;
  /** The kind of weight file, e.g. `safetensors`; null for a checkpoint without weights, such as a config.json alone. */
  readonly container: string | null;
  /**
   * config.json and the tokenizer's and generation's files: stored beside the weights, or generated from the weight file's metadata.
   */
  readonly files: FileSource;
  /** See `FileSource.isLocal`. */
  readonly isLocal?: boolean;
  /** The file that the config is read from, for messages. */
  readonly configFile: string;
  /** The weight file's name without its ending, where a folder may hold several models; null where the folder is the model. */
  readonly stem: string | null;
  /** The parsed config.json, unchecked. @throws TurboQuantError invalid_file — absent or no JSON */
  config(): Promise<unknown>;
  /**
   * Reads and checks the headers of all weight files, once. Reads no weights.
   * @throws TurboQuantError invalid_file — no weights, truncated or inconsistent; unsupported — a stored type without a reader
   */
  tensors(): Promise<ReadonlyMap<string, TensorInfo>>;
  /** See `TensorSet.nameInFile`; once `tensors` has read the headers. */
  nameInFile?(name: string): string;
  /** See `TensorSet.read`. */
  read(name: string, start?: number, end?: number, options?: ReadOptions): Promise<Uint8Array>;
  /** Identifies the model by names, shapes, samples of the weights and config.json. The split into files does not matter. */
  fingerprint(): Promise<string>;
}

/** What stands in a weight file that is a whole model. */
export interface Description {
  /** config.json and the others, generated from metadata. */
  readonly files: FileSource;
  /** The name that the file says its model has, or else its own. */
  readonly modelName: string;
  /** See `Checkpoint.configFile`. */
  readonly configFile: string;
  /** See `Checkpoint.stem`. */
  readonly stem: string;
}

/** A kind of weight file. */
export interface CheckpointContainer {
  readonly name: string;
  /** Whether the source has weight files of this kind. */
  isIn(source: FileSource): Promise<boolean>;
  /** What a weight file says of its model; absent for a kind whose files hold weights alone. */
  describe?(source: FileSource): Promise<Description>;
  openTensors(source: FileSource): Promise<TensorSet>;
}
