/** @file The cache of one model: what each of its sequences keeps, and the pool their pages come from. */
import type { LayerKvFormat } from "../quant/kv-format.ts";
import type { CacheParts } from "./cache-parts.ts";
import { type LayerCache, layerCache } from "./layer-cache.ts";
import type { PagePool } from "./page-pool.ts";
import type { PageStorage } from "./page-storage.ts";
import { Sequence } from "./sequence.ts";
import { compressedSlot } from "./states/compressed-slot.ts";
import { kvSlot } from "./states/kv-slot.ts";
import { recurrentSlot } from "./states/recurrent-slot.ts";
import type { LayerShape, StateShape } from "./states/state-shape.ts";
import type { StateSlot } from "./states/state-slot.ts";

export class KvCache implements CacheParts {
  readonly layers: readonly LayerCache[];
  /** The pool of each layer's pages. */
  readonly layerPools: readonly PagePool[];
  readonly slots: readonly StateSlot[];
  readonly pool: PagePool;
  readonly #storages: ReadonlySet<PageStorage>;

  /**
   * shapes: one for each state of a sequence; a shape without `kind` is one of keys and values
   * formatOf: format of the keys and values whose shape is at this index of `shapes`
   * poolOf: where the pages of a state are from, by index of `shapes`: `pool` or pools beside it
   * layerOf: index in the model of the layer that a state belongs to; default: one state a layer
   * @throws TurboQuantError unsupported — a head_dim that cannot be packed
   */
  constructor(
    shapes: readonly (LayerShape | StateShape)[],
    formatOf: (index: number) => LayerKvFormat,
    pool: PagePool,
    poolOf: (index: number) => PagePool = () => pool,
    layerOf: (index: number) => number = (index) => index,
  ) {
    this.pool = pool;
    this.#storages = new Set(shapes.map((_, index) => poolOf(index).storage));
    const layers: LayerCache[] = [];
    const layerPools: PagePool[] = [];
    const numKv = shapes.filter((shape) => !isRecurrent(shape)).length;
    let others = 0;
    this.slots = shapes.map((shape, index) => {
      // Each layer with keys and values has two groups of pages; the groups of other states follow.
      if (isRecurrent(shape)) return recurrentSlot(shape, 2 * numKv + others++, poolOf(index), layerOf(index));
      const layer = layerCache(formatOf(index), shape);
      layers.push(layer);
      layerPools.push(poolOf(index));
      const slot = kvSlot(layer, layers.length - 1, poolOf(index), layerOf(index));
      return layer.tokensPerRow > 1 ? compressedSlot(slot, layer.tokensPerRow) : slot;
    });
    this.layers = layers;
    this.layerPools = layerPools;
  }

  createSequence(): Sequence {
    return new Sequence(this);
  }

  /** Bytes of all pages that any sequence uses; a shared page counts once. */
  get numBytes(): number {
    return this.pool.numBytes;
  }

  /** Bytes that the storages of its pages hold, unused pages included. */
  get storageBytes(): number {
    let sum = 0;
    for (const { numBytes } of this.#storages) sum += numBytes;
    return sum;
  }
}

const isRecurrent = (shape: LayerShape | StateShape): shape is Extract<StateShape, { kind: "recurrent" }> =>
  "kind" in shape && shape.kind === "recurrent";
