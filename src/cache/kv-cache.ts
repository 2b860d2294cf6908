/** @file The cache of one model: what each of its sequences keeps, and the pool their pages come from. */
import type { LayerKvFormat } from "../quant/kv-format.ts";
import type { CacheParts } from "./cache-parts.ts";
import { type LayerCache, layerCache } from "./layer-cache.ts";
import type { PagePool } from "./page-pool.ts";
import { Sequence } from "./sequence.ts";
import { kvSlot } from "./states/kv-slot.ts";
import { recurrentSlot } from "./states/recurrent-slot.ts";
import type { LayerShape, StateShape } from "./states/state-shape.ts";
import type { StateSlot } from "./states/state-slot.ts";

export class KvCache implements CacheParts {
  readonly layers: readonly LayerCache[];
  readonly slots: readonly StateSlot[];
  readonly pool: PagePool;

  /**
   * shapes: one for each state of a sequence; a shape without `kind` is one of keys and values
   * formatOf: format of the keys and values whose shape is at this index of `shapes`
   * @throws TurboQuantError unsupported — a head_dim that cannot be packed
   */
  constructor(
    shapes: readonly (LayerShape | StateShape)[],
    formatOf: (index: number) => LayerKvFormat,
    pool: PagePool,
  ) {
    this.pool = pool;
    const layers: LayerCache[] = [];
    const numKv = shapes.filter((shape) => !isRecurrent(shape)).length;
    let others = 0;
    this.slots = shapes.map((shape, index) => {
      // Each layer with keys and values has two groups of pages; the groups of other states follow.
      if (isRecurrent(shape)) return recurrentSlot(shape.numBytes, 2 * numKv + others++, pool);
      const layer = layerCache(formatOf(index), shape);
      layers.push(layer);
      return kvSlot(layer, layers.length - 1, pool);
    });
    this.layers = layers;
  }

  createSequence(): Sequence {
    return new Sequence(this);
  }

  /** Bytes of all pages that any sequence uses; a shared page counts once. */
  get numBytes(): number {
    return this.pool.numBytes;
  }
}

const isRecurrent = (shape: LayerShape | StateShape): shape is Extract<StateShape, { kind: "recurrent" }> =>
  "kind" in shape && shape.kind === "recurrent";
