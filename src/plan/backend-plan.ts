/** @file What a model takes on one backend: weights, caches, activations and scratch memory, and in which of its memories they lie. */
import type { WeightType } from "../backends/ops.ts";
import type { PlannedBackend } from "../backends/registry.ts";
import { numMemories, type Placement } from "../models/placement.ts";
import type { CacheMemory, HeldMemory } from "./cache-memory.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";
import { copiedBytes, type Memories, type ModelParts, placeParts } from "./placement.ts";
import { type WeightMemory, weightMemory } from "./weight-memory.ts";

/** One format at one length. Bytes are of all sequences together. */
export interface PlannedCache {
  readonly kv: string;
  readonly context: number;
  /** Bytes of the pages between steps, equal to `numBytes` of the engine's sequences. */
  readonly cacheBytes: number;
  /** Bytes that the backend holds for the pages: with alignment, room to grow, and pages that a prefill has released. */
  readonly heldBytes: number;
  /** Scratch memory of the backend for this load; in several memories, with activations and shared weights of all but the first. */
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

/** Of the total, what the backend's own memory holds. */
export const addressedBytes = ({ totalBytes, hostBytes }: Pick<PlannedCache, "totalBytes" | "hostBytes">): number =>
  totalBytes - hostBytes;

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What the cache of one format needs on the backend. */
interface FormatNeeds {
  readonly held: HeldMemory;
  readonly calibration: readonly number[];
  /** Scratch memory of each memory that the model lies in. */
  readonly scratchBytes: number;
}

/** A model with its weights on one backend; caches of any format and length are asked for. */
export class BackendPlan {
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

  /** pageBytes: what pages may take together, where that is more than the sequences need */
  needs(cache: CacheMemory, context: number, sequences: number, pageBytes = 0): FormatNeeds {
    const calibration = cache.calibrationByLayer();
    return {
      held: cache.held(context, sequences, this.#rows(1), this.backend.planner, pageBytes),
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
    const copies = placement ? copiedBytes(parts, placement) : 0;
    return { placement, bytes: bytes + copies + sum(own) + each * (placement ? numMemories(placement) : 1), each };
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
    const { layers, numHeads, vocabSize, weights, expertsOfRow = 1, chosenLists, deltaRules = [] } = this.#model;
    // A row is prepared once for each of its experts.
    const inputOf = ({ cols, use }: PlannedWeight): number =>
      use === "vector" ? 0 : use === "experts" ? expertsOfRow * cols : cols;
    const load = {
      rows: this.#rows(sequences),
      sequences,
      tokens,
      numLayers: layers.length,
      numHeads,
      numsKvHeads: [...new Set(layers.map(({ numKvHeads }) => numKvHeads))],
      // Scratch memory is allocated once, for the largest layer.
      headDim: Math.max(0, ...layers.map(({ headDim, valueDim = headDim }) => Math.max(headDim, valueDim))),
      vocabSize,
      widestInput: Math.max(...weights.map(inputOf)),
      matrices: weights.filter(({ use }) => use === "matrix"),
      deltaRules,
      weights: this.weights.type,
      calibrationBytes: cache.calibrationBytes,
      recodingBytes: cache.recodingBytes,
      tiers: cache.tiers,
      windowTokens: cache.windowTokens,
      rotation: cache.rotation,
      ...(chosenLists !== undefined && { chosenLists }),
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
