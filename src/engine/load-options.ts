/** @file What `LLM.load` can be told. */
import type { Ops, WeightType } from "../backends/ops.ts";
import type { BackendName } from "../backends/registry.ts";
import type { RopeOverride } from "../models/rope-override.ts";
import type { PlannedModel } from "../plan/model-memory.ts";
import type { OnProgress } from "../platform.ts";
import type { Footprint } from "./footprint.ts";

/** Default KV format of every command and of `LLM.load`. */
export const DEFAULT_KV = "k4v4";

export interface LoadOptions {
  /** KV format, e.g. `k4v4` or `paper-4,window=128`; see docs/cli.md. */
  readonly kv?: string;
  /** Further formats that `withKv` will be called with; `auto` chooses a backend that has kernels for all of them. */
  readonly otherKv?: readonly string[];
  /** Name of a backend, or one that is already started; the model disposes of it. */
  readonly backend?: BackendName | "auto" | Ops;
  readonly threads?: number;
  /**
   * What formats get that take the model's own calibration (`kNvM`): `auto` makes one when the model has none, from a text that comes
   * with the package, and keeps it; `off` takes none; otherwise a path, or a name on the hub. Absent: the model's, if it has one;
   * `calibration=auto` in `kv` itself is `auto`.
   */
  readonly calibration?: string;
  /** A calibration that would take longer is not made by `auto`, which a note says. Default: 60. */
  readonly calibrationSeconds?: number;
  /** Format to keep weights in: as stored (`auto`), another float type, or int8 or int4 in groups of 32. */
  readonly weights?: WeightType | "auto";
  /** The most tokens of a sequence; by default the model's max_position_embeddings, and at most these or what `rope` makes of them. */
  readonly contextLength?: number;
  /** A rope other than the config's, to stretch the context; what is cached with it goes on only with the same one. */
  readonly rope?: RopeOverride;
  /** Limit for the KV pages of all sessions together. */
  readonly kvBudgetBytes?: number;
  /**
   * Memory for weights, cache and everything else together; default: all the
   * backend has. A model that does not fit is refused before it is loaded.
   */
  readonly memoryBytes?: number;
  readonly onProgress?: OnProgress;
  /** Told what is known of the model before its weights are read, for `planMemory`. */
  readonly onModel?: (model: PlannedModel) => void;
  /** Told what memory the model may come to, before its weights are read; loading waits for it, and what it throws ends it. */
  readonly onFit?: (footprint: Footprint) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** All names, and those of other programs for them. */
export const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, true> & Record<string, true | string>> = {
  kv: true,
  otherKv: true,
  backend: true,
  threads: true,
  calibration: true,
  calibrationSeconds: true,
  weights: true,
  contextLength: true,
  rope: true,
  kvBudgetBytes: true,
  memoryBytes: true,
  onProgress: true,
  onModel: true,
  onFit: true,
  signal: true,
  ctx: "contextLength",
  contextSize: "contextLength",
  nCtx: "contextLength",
  maxModelLen: "contextLength",
  kvCacheDtype: "kv",
  cacheType: "kv",
  dtype: "weights",
  device: "backend",
  kvBudget: "kvBudgetBytes",
  memory: "memoryBytes",
  ropeScaling: "rope",
  progressCallback: "onProgress",
};
