/** @file What a model is loaded from, whatever kind of file holds its weights. */
import type { WeightType } from "../weights/registry.ts";
import type { FileSource } from "./file-source.ts";

export interface TensorInfo {
  /** As Transformers saves it, e.g. `model.layers.3.self_attn.q_proj.weight`. */
  readonly name: string;
  /** The weight format it is stored in. */
  readonly dtype: WeightType;
  readonly shape: readonly number[];
  readonly numBytes: number;
  /** The file that holds it. */
  readonly file: string;
  /** Known to hold no NaN and no infinity, so that nobody has to look. */
  readonly isFinite?: true;
}

/** Tensors with their bytes: little endian, row-major, rows of whole blocks. */
export interface TensorSet {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Bytes [start, end) of a tensor, all of them by default.
   * @throws TurboQuantError invalid_file — no such tensor, or truncated
   */
  read(name: string, start?: number, end?: number): Promise<Uint8Array>;
}

export interface Checkpoint {
  /** For messages: the directory, URL or hub id. */
  readonly name: string;
  /** The kind of file that holds the weights; null where there is none that we read, and a config at most. */
  readonly container: string | null;
  /** config.json, files of the tokenizer and of generation: beside the weights, or made of what their file says. */
  readonly files: FileSource;
  /** The parsed config.json, unchecked. @throws TurboQuantError invalid_file — absent or no JSON */
  config(): Promise<unknown>;
  /**
   * Reads and checks the headers, once; no weights.
   * @throws TurboQuantError invalid_file — no weights, truncated or inconsistent; unsupported — a stored type we do not read
   */
  tensors(): Promise<ReadonlyMap<string, TensorInfo>>;
  /** As `TensorSet.read`. */
  read(name: string, start?: number, end?: number): Promise<Uint8Array>;
  /** Identifies the model: names, shapes, samples of the weights and config.json. Independent of how it is cut into files. */
  fingerprint(): Promise<string>;
}

/** A kind of file that holds weights. */
export interface CheckpointContainer {
  readonly name: string;
  /** Whether the source has weights of this kind. */
  isIn(source: FileSource): Promise<boolean>;
  /** Absent: the other files of the model lie beside its weights. */
  files?(source: FileSource): Promise<FileSource>;
  openTensors(source: FileSource): Promise<TensorSet>;
}
