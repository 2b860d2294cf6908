/** @file The interface to what differs between Node and a browser. Each entry point installs its own platform. */
import type { FileSource } from "./formats/file-source.ts";

/** The part of a Worker that the thread pool uses. */
export interface WorkerHandle {
  postMessage(message: unknown): void;
  onError(listener: (error: Error) => void): void;
  terminate(): unknown;
}

export interface GpuHandle {
  readonly gpu: GPU;
  /** Releases what would keep the process or the driver busy. */
  readonly release?: () => void;
}

export interface ProgressEvent {
  /** `compile`: compiling the kernels of a GPU, after the weights were loaded. */
  readonly phase: "download" | "load" | "compile" | "calibrate" | "prefill" | "eval";
  /** The file or tensor that is being worked on. */
  readonly item: string;
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes" | "tokens" | "prompts" | "formats" | "tensors" | "kernels";
  /** At most so much longer, where the work has a time limit. */
  readonly secondsLeft?: number;
}
export type OnProgress = (event: ProgressEvent) => void;

/** A file of a source. */
export interface PlacedFile {
  readonly source: FileSource;
  readonly file: string;
}

/** Calibrations on this machine that are not in a checkpoint. */
export interface CalibrationShelf {
  /** The one that was kept here for the weights with this fingerprint, or null. The source is for the caller to close. */
  find(fingerprint: string): Promise<PlacedFile | null>;
  /** A file that a user names, or null where there is none. The source is for the caller to close. */
  open(path: string): Promise<PlacedFile | null>;
  /**
   * Writes a calibration beside the model's files under the name `file`, or here where that cannot be.
   *
   * returns: where it lies, for messages
   * @throws TurboQuantError invalid_argument — neither place can be written
   */
  keep(model: FileSource, file: string, fingerprint: string, bytes: Uint8Array): Promise<string>;
}

/** Small texts that are kept on this machine by name, such as the plans that `turboquant tune` has found for an adapter. */
export interface TextShelf {
  /** The text of this name with where it lies, or null. */
  find(name: string): Promise<{ readonly text: string; readonly place: string } | null>;
  /**
   * returns: where it lies, for messages
   * @throws TurboQuantError invalid_argument — it cannot be written
   */
  keep(name: string, text: string): Promise<string>;
  /** returns: where it lay; null when there was none */
  remove(name: string): Promise<string | null>;
}

export interface Platform {
  readonly name: "node" | "browser";
  /** Opens a checkpoint: a directory (Node), a URL prefix, or a hub id. */
  openSource(ref: string, options?: { onProgress?: OnProgress; signal?: AbortSignal }): Promise<FileSource>;
  /** Starts a worker from the source text of a classic script; it receives messages through `onmessage` or `parentPort`. */
  spawnWorker(source: string): WorkerHandle;
  /**
   * WebGPU of this environment. isShared: see `BackendOpenOptions`
   * @throws TurboQuantError unsupported — there is none; says what to install or to switch on
   */
  openGpu(options?: { readonly isShared?: boolean }): Promise<GpuHandle>;
  /** Bytes of memory that this process may have; absent where the platform does not tell. */
  readonly memoryBytes?: number;
  /** Number of logical CPUs to use by default. */
  readonly concurrency: number;
  /** Absent where nothing is kept. */
  readonly calibrations?: CalibrationShelf;
  readonly kernelPlans?: TextShelf;
  /**
   * The engine for structured output, grammar/llguidance.wasm of the package; read when an answer is first bound to a schema or a grammar.
   * @throws TurboQuantError unsupported — it is not there; says how to get it
   */
  openGrammarEngine?(): Promise<Uint8Array<ArrayBuffer>>;
}

let current: Platform | undefined;

/** Called once by an entry point (`turboquant` in Node, or the browser's). */
export function setPlatform(platform: Platform): void {
  current = platform;
}

/** The shelf of the platform, where one is installed that has one. */
export const calibrationShelf = (): CalibrationShelf | undefined => current?.calibrations;

/** The plans of kernels that are kept, where a platform is installed that keeps some. */
export const kernelPlanShelf = (): TextShelf | undefined => current?.kernelPlans;

export function getPlatform(): Platform {
  if (!current) throw new Error("no platform installed: import `turboquant`, not one of its internal files");
  return current;
}
