/** @file Computes whether a model fits into memory, with which cache format, for how long a context, and for how many sequences. */
import type { WeightType } from "../backends/ops.ts";
import { type BackendName, type PlannedBackend, plannedBackend, plannedBackends } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { numMemories, type Placement } from "../models/placement.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory, type HeldMemory } from "./cache-memory.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";
import { type Memories, type ModelParts, placeParts } from "./placement.ts";
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
   * that holds the whole plan in one memory: wasm within 4 GiB, otherwise webgpu; and wasm in several memories where there is no GPU
   * or nothing fits it.
   */
  readonly backend?: BackendName | "auto";
  /** Whether the machine that is planned for has a GPU; taken to be so where nobody knows. */
  readonly hasGpu?: boolean;
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
  /** Scratch memory of the backend for this load; in several memories, with the activations of all but the first. */
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
  /** Number of the backend's memories that the model lies in; 0 when it has no such number. */
  readonly memories: number;
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
  const { weights = "auto", backend = "auto", hasGpu = true } = options;
  const planner = (of: PlannedBackend): Planner =>
    new Planner(model, of, weights, memoryBytes - reserveBytes, sequences);
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
  const plan = new Planner(model, plannedBackend(backend), weights, Number.POSITIVE_INFINITY, 1);
  const caches = kv.map((text) => ({ text, cache: new CacheMemory(model, parseKvSpec(text)) }));
  return {
    weights: plan.weights,
    at(context, pageBytes = 0) {
      const each = caches.map(({ cache }) => plan.needs(cache, context, 1));
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

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What of the plan a backend holds. */
interface Holds {
  allInOneMemory(plan: Planner): boolean;
  something(plan: Planner): boolean;
}

/**
 * Of the backends that read the weights, the one that addresses the least and still holds all of the plan in one memory; else the
 * one that addresses the most of those that hold something.
 */
function automatic(
  types: readonly WeightType[],
  hasGpu: boolean,
  planner: (backend: PlannedBackend) => Planner,
  holds: Holds,
): Planner {
  const backends = plannedBackends()
    .filter(({ isAutomatic, runsOn }) => isAutomatic && (hasGpu || runsOn === "cpu"))
    .sort((a, b) => a.planner.limits.memoryBytes - b.planner.limits.memoryBytes);
  const able = backends.filter(({ capabilities }) => types.every((type) => capabilities.hasWeights(type)));
  // If no backend has kernels for the weights, the error is that of the last one.
  const plans = (able.length > 0 ? able : backends.slice(-1)).map(planner);
  return plans.find(holds.allInOneMemory) ?? plans.findLast(holds.something) ?? plans.at(-1)!;
}

/** What the cache of one format needs on the backend. */
interface FormatNeeds {
  readonly held: HeldMemory;
  readonly calibration: readonly number[];
  /** Scratch memory of each memory that the model lies in. */
  readonly scratchBytes: number;
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
    this.availableBytes = Math.min(memoryBytes, this.#addressable);
    this.#model = model;
    this.#sequences = sequences;
  }

  /** What all memories of the backend hold. */
  get #addressable(): number {
    const { memoryBytes, memories = 1 } = this.backend.planner.limits;
    return memoryBytes * memories;
  }

  /** Bytes of the decoder's activation buffers and the logits of every sequence. */
  activations(sequences: number): number {
    return this.#bufferBytes(sequences) + this.#logitBytes(sequences);
  }

  /** Of the buffers alone, which each memory has. */
  #bufferBytes(sequences: number): number {
    return 4 * this.#rows(sequences) * this.#model.activationWidth;
  }

  #logitBytes(sequences: number): number {
    return 4 * sequences * this.#model.vocabSize;
  }

  needs(cache: CacheMemory, context: number, sequences: number): FormatNeeds {
    const calibration = cache.calibrationByLayer();
    return {
      held: cache.held(context, sequences, this.#rows(1), this.backend.planner),
      calibration,
      scratchBytes: this.#working(cache, context, sequences) - sum(calibration),
    };
  }

  /**
   * Shares the model out with caches in one or more formats side by side, which have scratch memory in common.
   * returns: bytes in all memories; of one memory where none hold it
   */
  place(
    formats: readonly FormatNeeds[],
    sequences: number,
    { pageBytes = 0, memories = this.#memories }: { readonly pageBytes?: number; readonly memories?: Memories } = {},
  ): { readonly placement: Placement | null; readonly bytes: number; readonly each: number } {
    const { parts, bytes } = this.weights;
    const held = sum(formats.map((format) => format.held.bytes));
    const growth = Math.max(1, pageBytes / held);
    const each =
      Math.max(...formats.map(({ scratchBytes }) => scratchBytes)) + formats.length * this.#bufferBytes(sequences);
    const placement = placeParts(
      {
        ...parts,
        together: togetherOf(this.#model.sharedLayers ?? []),
        layers: parts.layers.map(
          (weights, i) =>
            weights + sum(formats.map(({ held, calibration }) => growth * held.layers[i]! + calibration[i]!)),
        ),
        head: parts.head + formats.length * this.#logitBytes(sequences),
        each,
      },
      memories,
    );
    const own = formats.map(({ held, calibration }) => held.bytes + sum(calibration) + this.#logitBytes(sequences));
    return { placement, bytes: bytes + sum(own) + each * (placement ? numMemories(placement) : 1), each };
  }

  get #memories(): Memories {
    const { memoryBytes, memories = 1 } = this.backend.planner.limits;
    return { bytes: memoryBytes, count: memories };
  }

  at(kv: string, cache: CacheMemory, context: number, sequences = this.#sequences): PlannedCache {
    const needs = this.needs(cache, context, sequences);
    const { bytes: heldBytes, largestBinding } = needs.held;
    const { placement, bytes: running } = this.place([needs], sequences);
    const { hostBytes } = cache;
    // What the process keeps takes no addresses of the backend's.
    const free = Math.min(this.#memoryBytes - hostBytes, this.#addressable) - running;
    const freeBytes = placement ? free : Math.min(free, -1);
    return {
      kv,
      context,
      cacheBytes: cache.bytes(context) * sequences,
      heldBytes,
      workingBytes: running - this.weights.bytes - heldBytes - this.activations(sequences),
      hostBytes,
      totalBytes: running + hostBytes,
      // What is read ahead lies in the memory of the host; only where that is the same memory it counts.
      fits: freeBytes >= 0 && this.weights.bytes + this.weights.loadingBytes <= this.availableBytes,
      freeBytes,
      largestBinding,
      memories: placement ? numMemories(placement) : 0,
    };
  }

  #rows(sequences: number): number {
    return Math.max(sequences, this.backend.planner.chunkTokens);
  }

  #working(cache: CacheMemory, tokens: number, sequences: number): number {
    const { layers, numHeads, vocabSize, weights, expertsOfRow = 1 } = this.#model;
    // A row is prepared once for each of its experts.
    const inputOf = ({ cols, use }: PlannedWeight): number =>
      use === "vector" ? 0 : use === "experts" ? expertsOfRow * cols : cols;
    const load = {
      rows: this.#rows(sequences),
      sequences,
      tokens,
      numLayers: layers.length,
      numHeads,
      // Scratch memory is allocated once, for the largest layer.
      numKvHeads: Math.max(0, ...layers.map(({ numKvHeads }) => numKvHeads)),
      headDim: Math.max(0, ...layers.map(({ headDim, valueDim = headDim }) => Math.max(headDim, valueDim))),
      vocabSize,
      widestInput: Math.max(...weights.map(inputOf)),
      matrices: weights.filter(({ use }) => use === "matrix"),
      weights: this.weights.type,
      calibrationBytes: cache.calibrationBytes,
      rotation: cache.rotation,
    };
    return this.backend.planner.workingBytes(load);
  }
}

/** From the first layer whose keys and values others read to the last one that does. */
function togetherOf(shared: NonNullable<PlannedModel["sharedLayers"]>): ModelParts["together"] {
  if (shared.length === 0) return undefined;
  return {
    first: Math.min(...shared.map(({ of }) => of)),
    last: Math.max(...shared.map(({ layer }) => layer)),
  };
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
