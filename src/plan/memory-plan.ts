/** @file Computes whether a model fits into memory, with which cache format, for how long a context, and for how many sequences. */
import type { WeightType } from "../backends/ops.ts";
import { type BackendName, type PlannedBackend, plannedBackend, plannedBackends } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import type { Placement } from "../models/placement.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { BackendPlan, type PlannedCache, sum } from "./backend-plan.ts";
import { type CacheKind, cacheKinds } from "./cache-kinds.ts";
import { CacheMemory } from "./cache-memory.ts";
import type { PlannedModel } from "./model-memory.ts";
import type { Memories } from "./placement.ts";
import { keptTypes, type WeightMemory } from "./weight-memory.ts";

/** Formats of a plan that names none, from many bits to few. */
export const PLANNED_FORMATS = ["f16", "q8_0", "k8v8", "k5v4", "k4v4", "k3v3", "k2v2"] as const;

export interface PlanOptions {
  /** Memory for weights, cache and everything else, in bytes. */
  readonly memoryBytes: number;
  /** The part of it that is left to the system and the runtime; default 5 %. */
  readonly reserveBytes?: number;
  /** Tokens in a sequence; default: the model's max_position_embeddings. */
  readonly context?: number;
  /** Number of sequences of that length at the same time; default 1. */
  readonly sequences?: number;
  /** Cache formats, as for `--kv`. */
  readonly kv?: readonly string[];
  readonly weights?: WeightType | "auto";
  /**
   * `auto` takes the backends that the engine's `auto` chooses from, and among those with kernels for the weights the smallest
   * that holds the whole plan in one memory: wasm within 4 GiB, otherwise webgpu; and wasm in several memories where there is no GPU
   * or nothing fits it.
   */
  readonly backend?: BackendName | "auto";
  /** Whether the machine that is planned for has a GPU; taken to be so where nobody knows. */
  readonly hasGpu?: boolean;
  /** Context lengths of the second table. */
  readonly contexts?: readonly number[];
}

const PLAN_OPTIONS: Readonly<Record<keyof PlanOptions, true> & Record<string, true | string>> = {
  memoryBytes: true,
  reserveBytes: true,
  context: true,
  sequences: true,
  kv: true,
  weights: true,
  backend: true,
  hasGpu: true,
  contexts: true,
  memory: "memoryBytes",
  reserve: "reserveBytes",
  contextLength: "context",
  ctx: "context",
};

export interface PlannedFormat extends PlannedCache {
  /** Allocated bits for each cached number at this length, with codes, scales, sinks, window and rounding to pages. */
  readonly bitsPerValue: number;
  /** Bytes of one more token in a long sequence. */
  readonly bytesPerToken: number;
  /** What the layers keep, by kind; bytes are of one sequence. */
  readonly kinds: readonly CacheKind[];
  /** Number of tokens that would fit, in steps of a page, even beyond the model's own context. */
  readonly longestContext: number;
  /** Number of sequences of `context` tokens that would fit. */
  readonly mostSequences: number;
}

export interface MemoryPlan {
  readonly model: PlannedModel;
  readonly backend: string;
  readonly memoryBytes: number;
  readonly reserveBytes: number;
  /** Memory without the reserve, at most what all memories of the backend hold. */
  readonly availableBytes: number;
  readonly context: number;
  readonly sequences: number;
  readonly weightsAsked: WeightType | "auto";
  readonly weights: WeightMemory;
  readonly activationBytes: number;
  /** By bits a value, the most first. */
  readonly formats: readonly PlannedFormat[];
  readonly contexts: readonly { readonly context: number; readonly formats: readonly PlannedCache[] }[];
  /** The format with the most bits that fits; null when none does. */
  readonly best: PlannedFormat | null;
}

/** Longest sequence and most sequences that a search looks at. */
const MAX_TOKENS = 2 ** 30;
const MAX_SEQUENCES = 2 ** 16;

/** @throws TurboQuantError invalid_argument — a number out of range, a bad spec; unsupported — a head_dim without a kernel */
export function planMemory(model: PlannedModel, options: PlanOptions): MemoryPlan {
  refuseUnknownOptions("plan", options, PLAN_OPTIONS);
  const { memoryBytes } = options;
  const context = checked("context", options.context ?? model.maxPositionEmbeddings, MAX_TOKENS);
  const sequences = checked("sequences", options.sequences ?? 1, MAX_SEQUENCES);
  const reserveBytes = options.reserveBytes ?? Math.floor(memoryBytes * 0.05);
  if (!(memoryBytes > 0) || !(reserveBytes >= 0) || reserveBytes >= memoryBytes) {
    throw new TurboQuantError(
      "invalid_argument",
      `plan: expected a reserve below the memory of ${memoryBytes} bytes, got ${reserveBytes}; name more memory or a smaller reserve`,
      { memoryBytes, reserveBytes },
    );
  }
  const texts = options.kv ?? PLANNED_FORMATS;
  const caches = texts.map((kv) => ({ kv, cache: new CacheMemory(model, parseKvSpec(kv)) }));
  const { weights = "auto", backend = "auto", hasGpu = true } = options;
  const planner = (of: PlannedBackend): BackendPlan =>
    new BackendPlan(model, of, weights, memoryBytes - reserveBytes, sequences);
  const holds: Holds = {
    allInOneMemory: (of) => caches.every(({ kv, cache }) => of.at(kv, cache, context).memories === 1),
    something: (of) => caches.some(({ kv, cache }) => of.at(kv, cache, context).fits),
  };
  const plan =
    backend === "auto"
      ? automatic(keptTypes(model, weights), hasGpu, planner, holds)
      : planner(plannedBackend(backend));
  const formats = caches
    .map(({ kv, cache }) => ({
      ...plan.at(kv, cache, context),
      bitsPerValue: cache.bitsPerValue(context),
      bytesPerToken: cache.bytesPerToken,
      kinds: cacheKinds(model, parseKvSpec(kv), context),
      longestContext: largest(MAX_TOKENS / PAGE_TOKENS, (n) => plan.at(kv, cache, n * PAGE_TOKENS).fits) * PAGE_TOKENS,
      mostSequences: largest(MAX_SEQUENCES, (n) => plan.at(kv, cache, context, n).fits),
    }))
    .sort((a, b) => b.bitsPerValue - a.bitsPerValue);
  return {
    model,
    backend: plan.backend.name,
    memoryBytes,
    reserveBytes,
    availableBytes: plan.availableBytes,
    context,
    sequences,
    weightsAsked: weights,
    weights: plan.weights,
    activationBytes: plan.activations(sequences),
    formats,
    contexts: (options.contexts ?? []).map((length) => ({
      context: checked("contexts", length, MAX_TOKENS),
      formats: formats.map(({ kv }) => plan.at(kv, caches.find((c) => c.kv === kv)!.cache, length)),
    })),
    best: formats.find(({ fits }) => fits) ?? null,
  };
}

/** Bytes of several formats side by side over one set of weights, with one sequence each. */
export interface PlannedTogether
  extends Pick<PlannedCache, "cacheBytes" | "hostBytes" | "totalBytes" | "largestBinding"> {
  /** Of the format with the most. */
  readonly largestCacheBytes: number;
  /** Which memory each part lies in; null when the memories do not hold it. */
  readonly placement: Placement | null;
}

export interface TogetherOptions extends Required<Pick<PlanOptions, "kv" | "weights">> {
  readonly backend: BackendName;
  /** Default: the most that the backend may have. */
  readonly memories?: Memories;
}

/**
 * Views of one model: weights and scratch memory are shared; caches, activations and calibrations are each one's own.
 * @throws TurboQuantError as `planMemory`
 */
export function planTogether(
  model: PlannedModel,
  { kv, weights, backend, memories }: TogetherOptions,
): {
  readonly weights: WeightMemory;
  /** pageBytes: what pages may take together, where that is more than the sequences need */
  at(context: number, pageBytes?: number): PlannedTogether;
} {
  const plan = new BackendPlan(model, plannedBackend(backend), weights, Number.POSITIVE_INFINITY, 1);
  const caches = kv.map((text) => ({ text, cache: new CacheMemory(model, parseKvSpec(text)) }));
  return {
    weights: plan.weights,
    at(context, pageBytes = 0) {
      const each = caches.map(({ cache }) => plan.needs(cache, context, 1, pageBytes));
      const cacheBytes = caches.map(({ cache }) => cache.bytes(context));
      const hostBytes = sum(caches.map(({ cache }) => cache.hostBytes));
      const { placement, bytes } = plan.place(each, 1, { pageBytes, ...(memories && { memories }) });
      return {
        cacheBytes: sum(cacheBytes),
        largestCacheBytes: Math.max(...cacheBytes),
        hostBytes,
        totalBytes: bytes + hostBytes,
        largestBinding: Math.max(...each.map(({ held }) => held.largestBinding)),
        placement,
      };
    },
  };
}

/** What of the plan a backend holds. */
interface Holds {
  allInOneMemory(plan: BackendPlan): boolean;
  something(plan: BackendPlan): boolean;
}

/**
 * Of the backends that read the weights, the one that addresses the least and still holds all of the plan in one memory; else the
 * one that addresses the most of those that hold something.
 */
function automatic(
  types: readonly WeightType[],
  hasGpu: boolean,
  planner: (backend: PlannedBackend) => BackendPlan,
  holds: Holds,
): BackendPlan {
  const backends = plannedBackends()
    .filter(({ isAutomatic, runsOn }) => isAutomatic && (hasGpu || runsOn === "cpu"))
    .sort((a, b) => a.planner.limits.memoryBytes - b.planner.limits.memoryBytes);
  const able = backends.filter(({ capabilities }) => types.every((type) => capabilities.hasWeights(type)));
  // If no backend has kernels for the weights, the error is that of the last one.
  const plans = (able.length > 0 ? able : backends.slice(-1)).map(planner);
  return plans.find(holds.allInOneMemory) ?? plans.findLast(holds.something) ?? plans.at(-1)!;
}

/** The largest integer from 0 to `limit` for which `holds` is true; it must be true up to some number and false from there on. */
function largest(limit: number, holds: (n: number) => boolean): number {
  let [low, high] = [0, limit + 1];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function checked(name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new TurboQuantError(
    "invalid_argument",
    `plan: ${name}: expected a whole number from 1 to ${max}, got ${value}`,
    {
      [name]: value,
    },
  );
}
