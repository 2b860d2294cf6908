/** @file What a cache of a given length allocates: in closed form, and by the cache's own allocation over pages that take no memory. */
import { KvCache } from "../cache/kv-cache.ts";
import { bytesOf, pagesAtRest } from "../cache/page-counts.ts";
import { PagePool } from "../cache/page-pool.ts";
import type { PageAddress, PageStorage } from "../cache/page-storage.ts";
import type { Sequence } from "../cache/sequence.ts";
import { isIndexState } from "../cache/states/state-shape.ts";
import { pagesInTier } from "../cache/states/tiers.ts";
import type { ModelConfig } from "../models/config.ts";
import { layerKindsOf, layoutOf, stateShapes } from "../models/layout.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";

/** Tokens of one step. The window's pages are released between steps, as in a prefill. */
const STEP_TOKENS = 256;

class CountingStorage implements PageStorage {
  numBytes = 0;
  #next: PageAddress = 1;

  allocate(numBytes: number): PageAddress {
    this.numBytes += numBytes;
    return this.#next++;
  }

  release(_address: PageAddress, numBytes: number): void {
    this.numBytes -= numBytes;
  }

  copy(): void {}

  async read(_address: PageAddress, numBytes: number): Promise<Uint8Array> {
    return new Uint8Array(numBytes);
  }

  write(): void {}
}

/** A cache in the shape of a model, on a storage whose pages take no memory. */
export function emptyCache(config: ModelConfig, asked: KvSpec): KvCache {
  const layout = layoutOf(config);
  const states = stateShapes(layout);
  const kv = asked.forModel(layerKindsOf(layout));
  return new KvCache(
    states.map(({ shape }) => shape),
    (index) => kv.forLayer(states[index]!.layer, isIndexState(states[index]!.shape)),
    new PagePool(new CountingStorage()),
    undefined,
    (index) => states[index]!.layer,
  );
}

/** One sequence that grows. Each call takes the number of tokens, which must not be less than in the last call. */
export function growingSequence(config: ModelConfig, kv: KvSpec): (tokens: number) => Sequence {
  const sequence = emptyCache(config, kv).createSequence();
  return (tokens) => {
    while (sequence.length < tokens) {
      const count = Math.min(STEP_TOKENS, tokens - sequence.length);
      sequence.reserve(count);
      sequence.commit(count);
    }
    return sequence;
  };
}

/** Page bytes of one sequence of `tokens` tokens over all layers, in a time that does not depend on their number. Memory is never short. */
export function allocatedBytes(config: ModelConfig, kv: KvSpec, tokens: number): number {
  if (tokens === 0) return 0;
  const { layers, slots } = emptyCache(config, kv);
  const fixed = slots.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
  return layers.reduce((sum, layer) => sum + bytesOf(layer, pagesAtRest(layer, tokens, pagesInTier)), fixed);
}
