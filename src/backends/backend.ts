/**
 * @file The description of a backend: what it can compute with, what its memory comes to, and how it is opened. Its operations
 * are those of the `Ops` that opening it gives; a step begins with `Ops.beginStep`.
 *
 * The description is loaded with the engine and with every memory plan, so it imports neither kernels nor their text, nor what
 * opens the backend: a bundle of the planner contains no backend.
 */
import type { Capabilities } from "./capabilities.ts";
import type { Ops } from "./ops.ts";
import type { BackendPlanner } from "./planner.ts";

export interface BackendOpenOptions {
  /** Number of threads of a backend on the CPU; default: as many as help. */
  readonly threads?: number;
  /** Whether to refuse a GPU whose driver computes on the CPU. */
  readonly hardwareOnly?: boolean;
  /** For a backend on a GPU: a device of the caller's to work on, which stays when the backend is disposed of. */
  readonly device?: GPUDevice;
  /** Whether others work on the device that a backend opens: then each call is checked, as in a browser, and their errors are theirs. */
  readonly isShared?: boolean;
}

export interface Backend {
  /** The name in `--backend` and in messages. */
  readonly name: string;
  readonly runsOn: "cpu" | "gpu";
  /** Whether `auto` may choose it. GPUs are tried first. */
  readonly isAutomatic: boolean;
  /** What it can do on any device; `Ops.capabilities` are those of the device that was opened. */
  readonly capabilities: Capabilities;
  /** Absent when only the system limits the memory, as for a backend that is only for checking. */
  readonly planner?: BackendPlanner;
}

/**
 * Imports the backend and starts it.
 * @throws TurboQuantError unsupported — not on this machine, names the next step; invalid_argument — options
 */
export type OpenBackend = (options: BackendOpenOptions) => Promise<Ops>;
