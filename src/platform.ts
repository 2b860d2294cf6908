/** @file What differs between Node and a browser, behind one interface. The Node entry installs its own. */
import type { FileSource } from "./formats/file-source.ts";

/** The part of a Worker that the thread pool uses. */
export interface WorkerHandle {
  postMessage(message: unknown): void;
  onError(listener: (error: Error) => void): void;
  terminate(): unknown;
}

export interface GpuHandle {
  readonly gpu: GPU;
  /** Lets go of what keeps the process or the driver busy. */
  readonly release?: () => void;
}

export interface ProgressEvent {
  /** `compile`: kernels of a GPU, after the weights are loaded. */
  readonly phase: "download" | "load" | "compile" | "prefill" | "eval";
  /** File or tensor at hand. */
  readonly item: string;
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes" | "tokens" | "prompts" | "formats" | "tensors" | "kernels";
}
export type OnProgress = (event: ProgressEvent) => void;

export interface Platform {
  readonly name: "node" | "browser";
  /** Opens a checkpoint: a directory (Node), a URL prefix, or a hub id. */
  openSource(ref: string, options?: { onProgress?: OnProgress; signal?: AbortSignal }): Promise<FileSource>;
  /** Starts a worker from classic-script source text; it gets messages through `onmessage`/`parentPort`. */
  spawnWorker(source: string): WorkerHandle;
  /**
   * WebGPU of this environment.
   * @throws TurboQuantError unsupported — there is none; the message says what to install or switch on
   */
  openGpu(): Promise<GpuHandle>;
  /** Logical CPUs to use by default. */
  readonly concurrency: number;
}

let current: Platform | undefined;

/** Called once by an entry point (`turboquant` under Node, or the browser entry). */
export function setPlatform(platform: Platform): void {
  current = platform;
}

export function getPlatform(): Platform {
  if (!current) throw new Error("no platform installed: import `turboquant`, not one of its internal files");
  return current;
}
