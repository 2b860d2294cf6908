/** @file Computes whether a model fits into memory, with which cache format, for how long a context, and for how many sequences. */
import type { WeightType } from "../backends/ops.ts";
import type { MemoryLimits } from "../backends/planner.ts";
import { type BackendName, type PlannedBackend, plannedBackend, plannedBackends } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import type { PlannedModel } from "./model-memory.ts";
import { keptTypes, type WeightMemory, weightMemory } from "./weight-memory.ts";

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
   * that can address the whole plan: wasm within its 4 GiB, otherwise webgpu.
   */
  readonly backend?: BackendName | "auto";
  /** Context lengths of the second table. */
  readonly contexts?: readonly number[];
}

/** One format at one length. Bytes are of all sequences together. */
export interface PlannedCache {
  readonly kv: string;
  readonly context: number;
  /** Bytes of the pages between steps, equal to `numBytes` of the engine's sequences. */
  readonly cacheBytes: number;
  /** Bytes that the backend holds for the pages: with alignment, room to grow, and pages that a prefill has released. */
  readonly heldBytes: number;
  /** Scratch memory of the backend for this load. */
  readonly workingBytes: number;
  /** Memory of the process beside the backend's: a calibration and what is made of it. */
  readonly hostBytes: number;
  /** Weights, held pages, activations, scratch and `hostBytes`. */
  readonly totalBytes: number;
  readonly fits: boolean;
  /** Memory left after the reserve; negative when the format does not fit. */
  readonly freeBytes: number;
  /** The largest buffer of pages of one layer that a kernel binds. */
  readonly largestBinding: number;
}

export interface PlannedFormat extends PlannedCache {
  /** Allocated bits for each cached number at this length, with codes, scales, sinks, window and rounding to pages. */
  readonly bitsPerValue: number;
  /** Bytes of one more token in a long sequence. */
  readonly bytesPerToken: number;
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
  /** Memory without the reserve, at most what the backend can address. */
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

/** Of the total, what the backend's own memory holds. */
export const addressedBytes = ({ totalBytes, hostBytes }: Pick<PlannedCache, "totalBytes" | "hostBytes">): number =>
  totalBytes - hostBytes;

/** Longest sequence and most sequences that a search looks at. */
const MAX_TOKENS = 2 ** 30;
const MAX_SEQUENCES = 2 ** 16;

/** @throws TurboQuantError invalid_argument — a number out of range, a bad spec; unsupported — a head_dim without a kernel */
export function planMemory(model: PlannedModel, options: PlanOptions): MemoryPlan {
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
  const { weights = "auto", backend = "auto" } = options;
  const planner = (of: PlannedBackend): Planner =>
    new Planner(model, of, weights, memoryBytes - reserveBytes, sequences);
  const addressesAll = (of: Planner): boolean =>
    caches.every(({ kv, cache }) => addressedBytes(of.at(kv, cache, context)) <= of.limits.memoryBytes);
  const plan =
    backend === "auto" ? automatic(keptTypes(model, weights), planner, addressesAll) : planner(plannedBackend(backend));
  const formats = caches
    .map(({ kv, cache }) => ({
      ...plan.at(kv, cache, context),
      bitsPerValue: cache.bitsPerValue(context),
      bytesPerToken: cache.bytesPerToken,
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
}

/**
 * Views of one model: weights and scratch memory are shared; caches, activations and calibrations are each one's own.
 * @throws TurboQuantError as `planMemory`
 */
export function planTogether(
  model: PlannedModel,
  { kv, weights, backend }: Required<Pick<PlanOptions, "kv" | "weights">> & { readonly backend: BackendName },
): { readonly weights: WeightMemory; at(context: number): PlannedTogether } {
  const plan = new Planner(model, plannedBackend(backend), weights, Number.POSITIVE_INFINITY, 1);
  const caches = kv.map((text) => ({ text, cache: new CacheMemory(model, parseKvSpec(text)) }));
  return {
    weights: plan.weights,
    at(context) {
      const each = caches.map(({ text, cache }) => ({
        ...plan.at(text, cache, context),
        calibrationBytes: cache.calibrationBytes,
      }));
      const scratch = Math.max(...each.map(({ workingBytes, calibrationBytes }) => workingBytes - calibrationBytes));
      const own = each.map((one) => one.heldBytes + one.calibrationBytes + one.hostBytes + plan.activations(1));
      return {
        cacheBytes: sum(each.map(({ cacheBytes }) => cacheBytes)),
        largestCacheBytes: Math.max(...each.map(({ cacheBytes }) => cacheBytes)),
        hostBytes: sum(each.map(({ hostBytes }) => hostBytes)),
        totalBytes: plan.weights.bytes + scratch + sum(own),
        largestBinding: Math.max(...each.map(({ largestBinding }) => largestBinding)),
      };
    },
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Of the backends that read the weights, the one that addresses the least and still `serves`; where none serves, the last. */
function automatic(
  types: readonly WeightType[],
  planner: (backend: PlannedBackend) => Planner,
  serves: (plan: Planner) => boolean,
): Planner {
  const backends = plannedBackends()
    .filter(({ isAutomatic }) => isAutomatic)
    .sort((a, b) => a.planner.limits.memoryBytes - b.planner.limits.memoryBytes);
  const able = backends.filter(({ capabilities }) => types.every((type) => capabilities.hasWeights(type)));
  // If no backend has kernels for the weights, the error is that of the last one.
  const last = (able.at(-1) ?? backends.at(-1))!;
  for (const backend of able) {
    const plan = planner(backend);
    if (backend === last || serves(plan)) return plan;
  }
  return planner(last);
}

class Planner {
  readonly backend: PlannedBackend;
  readonly weights: WeightMemory;
  readonly availableBytes: number;
  /** Less the reserve. */
  readonly #memoryBytes: number;
  readonly #model: PlannedModel;
  readonly #sequences: number;

  constructor(
    model: PlannedModel,
    backend: PlannedBackend,
    weights: WeightType | "auto",
    memoryBytes: number,
    sequences: number,
  ) {
    this.backend = backend;
    this.weights = weightMemory(model, weights, backend.name);
    this.#memoryBytes = memoryBytes;
    this.availableBytes = Math.min(memoryBytes, backend.planner.limits.memoryBytes);
    this.#model = model;
    this.#sequences = sequences;
  }

  get limits(): MemoryLimits {
    return this.backend.planner.limits;
  }

  /** Bytes of the decoder's activation buffers and the logits of every sequence. */
  activations(sequences: number): number {
    const { activationWidth, vocabSize } = this.#model;
    return 4 * (this.#rows(sequences) * activationWidth + sequences * vocabSize);
  }

  at(kv: string, cache: CacheMemory, context: number, sequences = this.#sequences): PlannedCache {
    const { bytes: heldBytes, largestBinding } = cache.held(context, sequences, this.#rows(1), this.backend.planner);
    const workingBytes = this.#working(cache, context, sequences);
    const running = this.weights.bytes + heldBytes + this.activations(sequences) + workingBytes;
    const { hostBytes } = cache;
    // What the process keeps takes no addresses of the backend's.
    const freeBytes = Math.min(this.#memoryBytes - hostBytes, this.limits.memoryBytes) - running;
    return {
      kv,
      context,
      cacheBytes: cache.bytes(context) * sequences,
      heldBytes,
      workingBytes,
      hostBytes,
      totalBytes: running + hostBytes,
      // What is read ahead lies in the memory of the host; only where that is the same memory it counts.
      fits: freeBytes >= 0 && this.weights.bytes + this.weights.loadingBytes <= this.availableBytes,
      freeBytes,
      largestBinding,
    };
  }

  #rows(sequences: number): number {
    return Math.max(sequences, this.backend.planner.chunkTokens);
  }

  #working(cache: CacheMemory, tokens: number, sequences: number): number {
    const { layers, numHeads, vocabSize, weights } = this.#model;
    const load = {
      rows: this.#rows(sequences),
      sequences,
      tokens,
      numLayers: layers.length,
      numHeads,
      // Scratch memory is allocated once, for the largest layer.
      numKvHeads: Math.max(...layers.map(({ numKvHeads }) => numKvHeads)),
      headDim: Math.max(...layers.map(({ headDim }) => headDim)),
      vocabSize,
      widestInput: Math.max(...weights.map(({ cols, use }) => (use === "vector" ? 0 : cols))),
      matrices: weights.filter(({ use }) => use === "matrix"),
      weights: this.weights.type,
      calibrationBytes: cache.calibrationBytes,
      rotation: cache.rotation,
    };
    return this.backend.planner.workingBytes(load);
  }
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
