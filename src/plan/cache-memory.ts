/** @file Bytes of the KV cache of a model in one format: as the engine counts them, and as the backend's memory holds them. */
import { alignUp } from "../backends/wasm/heap.ts";
import { bufferBytes } from "../backends/webgpu/queue/buffers.ts";
import { slabCapacity } from "../backends/webgpu/queue/page-storage.ts";
import type { PlannedBackend } from "../backends/working-memory.ts";
import { type LayerCache, layerCache } from "../cache/layer-cache.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import { bytesOf, type PageCounts, pagesAtRest, pagesHeld } from "./cache-pages.ts";
import type { PlannedModel } from "./model-memory.ts";

export interface HeldMemory {
  /** What the backend's page storage holds: page alignment, room to grow, pages that a prefill had and gave back. */
  readonly bytes: number;
  /** The pages of one stream of one layer, which WebGPU binds as one buffer. */
  readonly largestBinding: number;
}

interface Layer {
  readonly cache: LayerCache;
  /** Tokens the layer keeps; all when 0. */
  readonly keeps: number;
}

/** The cache of one model and format at any length. Lengths are tokens of one sequence. */
export class CacheMemory {
  readonly #layers: readonly Layer[];
  /** Of one sequence, whatever its length. */
  readonly #fixedBytes: number;

  /** @throws TurboQuantError invalid_argument — a head_dim that cannot be packed, or a layers= range beyond the model */
  constructor(model: PlannedModel, kv: KvSpec) {
    kv.validateLayers(model.numLayers ?? model.layers.length);
    this.#fixedBytes = model.fixedStateBytes ?? 0;
    this.#layers = model.layers.map((shape, index) => ({
      cache: layerCache(kv.forLayer(shape.modelLayer ?? index), shape),
      // The engine keeps every token of a sliding-window layer; for types it does not run, what the model needs is counted.
      keeps: model.runs ? 0 : shape.slidingWindow,
    }));
  }

  /** Bytes of the pages of one sequence at rest: the engine's `numBytes`. */
  bytes(tokens: number): number {
    return this.#layers.reduce(
      (sum, { cache, keeps }) => sum + bytesOf(cache, pagesAtRest(cache, kept(tokens, keeps))),
      this.#fixedBytes,
    );
  }

  /** Allocated bits a cached number; sliding-window layers count what they keep. */
  bitsPerValue(tokens: number): number {
    const shares = this.#layers.map(({ cache, keeps }) => {
      const { numKvHeads, headDim } = cache.main;
      return 2 * numKvHeads * headDim * (keeps === 0 ? tokens : Math.min(tokens, keeps));
    });
    return (8 * this.bytes(tokens)) / shares.reduce((sum, share) => sum + share, 0);
  }

  /** Bytes that one more token takes in a long sequence. */
  get bytesPerToken(): number {
    return this.#layers.reduce(
      (sum, { cache, keeps }) => sum + (keeps === 0 ? cache.main.numBytes / PAGE_TOKENS : 0),
      0,
    );
  }

  /** What `sequences` of these tokens each, prefilled one after the other, make the backend's storage hold. */
  held(tokens: number, sequences: number, chunkTokens: number, backend: PlannedBackend): HeldMemory {
    // A step has the state before it, at its last page end and after it.
    let bytes = this.#fixedBytes * (sequences + 2);
    let largestBinding = 0;
    for (const { cache, keeps } of this.#layers) {
      const length = kept(tokens, keeps);
      const [rest, most] = [pagesAtRest(cache, length), pagesHeld(cache, length, chunkTokens)];
      const pages = (stream: keyof PageCounts): number => rest[stream] * (sequences - 1) + most[stream];
      for (const [count, layout, expected] of [
        [pages("main"), cache.main, most.main],
        [pages("exact"), cache.exact, most.exact],
      ] as const) {
        if (!layout || count === 0) continue;
        const stream =
          backend === "wasm"
            ? count * alignUp(layout.numBytes)
            : bufferBytes(slabCapacity(count, layout.numBytes, expected) * layout.numBytes);
        bytes += stream;
        largestBinding = Math.max(largestBinding, backend === "wasm" ? count * layout.numBytes : stream);
      }
    }
    return { bytes, largestBinding };
  }
}

/** Whole pages that cover a window wherever it begins. */
const kept = (tokens: number, keeps: number): number =>
  keeps === 0 ? tokens : Math.min(tokens, Math.ceil(keeps / PAGE_TOKENS) * PAGE_TOKENS + PAGE_TOKENS);
