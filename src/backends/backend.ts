/**
 * @file The face of a backend: what it can compute with and what its memory comes to, and how it is opened. The operations are
 * those of the `Ops` that is opened; a step begins with `Ops.beginStep`.
 *
 * The face is loaded with the engine and with every memory plan, so it imports neither kernels nor their text, nor what opens
 * it: a bundle of the planner has no backend in it.
 */
import type { Capabilities } from "./capabilities.ts";
import type { Ops } from "./ops.ts";
import type { BackendPlanner } from "./planner.ts";

export interface BackendOpenOptions {
  /** Threads of a backend that runs on the CPU; by default as many as help. */
  readonly threads?: number;
  /** Refuse a GPU whose driver computes on the CPU. */
  readonly hardwareOnly?: boolean;
}

export interface Backend {
  /** As `--backend` and messages call it. */
  readonly name: string;
  readonly runsOn: "cpu" | "gpu";
  /** Whether `auto` may take it. GPUs are tried first. */
  readonly isAutomatic: boolean;
  /** Of any device; `Ops.capabilities` are those of the one that was opened. */
  readonly capabilities: Capabilities;
  /** Absent where nothing but the system limits the memory, as of a backend that is there for checking. */
  readonly planner?: BackendPlanner;
}

/**
 * Imports the backend and starts it.
 * @throws TurboQuantError unsupported — not on this machine, with the next step; invalid_argument — options
 */
export type OpenBackend = (options: BackendOpenOptions) => Promise<Ops>;
