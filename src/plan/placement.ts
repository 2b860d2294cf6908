/** @file Shares a model out among memories of one size: as few as hold it, and then as evenly as they can. */
import { numMemories, type Placement } from "../models/placement.ts";

/** Bytes of those parts of a model that cannot be divided. */
export interface ModelParts {
  readonly embedding: number;
  /** Of each layer: its own weights, its pages, and what is kept for its calibration. */
  readonly layers: readonly number[];
  /** Weights that several layers have in common, which each memory with one of these layers has once; absent: none. */
  readonly shared?: readonly { readonly bytes: number; readonly layers: readonly number[] }[] | undefined;
  /** The first and the last of layers that read each other's keys and values, so that all of them lie in one memory; absent: none. */
  readonly together?: { readonly first: number; readonly last: number } | undefined;
  /** The final norm, the head unless it is tied, and the logits. */
  readonly head: number;
  /** Whether the head is the embedding, so that both lie in one memory. */
  readonly isTied: boolean;
  /** What every memory needs besides: scratch memory, tables and activations. */
  readonly each: number;
}

export interface Memories {
  /** Of one memory; may be infinite. */
  readonly bytes: number;
  /** How many there may be. */
  readonly count: number;
}

/** null when a part is larger than a memory, or there are too few memories */
export function placeParts(parts: ModelParts, { bytes, count }: Memories): Placement | null {
  let placed = packed(parts, bytes - parts.each);
  if (!placed) return null;
  const needed = numMemories(placed);
  if (needed > count) return null;
  if (needed === 1) return placed;
  // The least fill with which that many memories are enough leaves each of them about the same room to grow.
  let [low, high] = [0, bytes - parts.each];
  while (high - low > 1) {
    const fill = Math.floor((low + high) / 2);
    const fuller = packed(parts, fill);
    if (fuller && numMemories(fuller) === needed) {
      placed = fuller;
      high = fill;
    } else low = fill;
  }
  return placed;
}

/** Bytes that copies of shared weights take beyond the first, one in each further memory with a layer that has them. */
export const copiedBytes = ({ shared = [] }: Pick<ModelParts, "shared">, { layers }: Placement): number =>
  shared.reduce((sum, own) => sum + own.bytes * (new Set(own.layers.map((layer) => layers[layer]!)).size - 1), 0);

/** Layers that cannot be in different memories. */
interface Unit {
  readonly bytes: number;
  readonly count: number;
  /** Indices among the shared weights. */
  readonly shared: readonly number[];
}

function unitsOf({ layers, shared = [], together }: ModelParts): Unit[] {
  const unit = (first: number, last: number): Unit => ({
    bytes: layers.slice(first, last + 1).reduce((sum, bytes) => sum + bytes, 0),
    count: last + 1 - first,
    shared: [...shared.keys()].filter((i) => shared[i]!.layers.some((layer) => first <= layer && layer <= last)),
  });
  const units: Unit[] = [];
  for (let layer = 0; layer < layers.length; layer += units.at(-1)!.count)
    units.push(unit(layer, layer === together?.first ? together.last : layer));
  return units;
}

/** Fills one memory after the other up to `fill` bytes, in the order of the forward pass. */
function packed(parts: ModelParts, fill: number): Placement | null {
  const { embedding, shared = [], head, isTied } = parts;
  let memory = 0;
  let used = embedding + (isTied ? head : 0);
  /** Shared weights that are in this memory already. */
  let present = new Set<number>();
  const bytesOf = (unit: Unit): number =>
    unit.shared.reduce((sum, i) => sum + (present.has(i) ? 0 : shared[i]!.bytes), unit.bytes);
  /** Puts it into this memory or the next; false when a memory of its own does not hold it. */
  const put = (unit: Unit): boolean => {
    if (used + bytesOf(unit) > fill) {
      memory++;
      used = 0;
      present = new Set();
    }
    used += bytesOf(unit);
    for (const i of unit.shared) present.add(i);
    return used <= fill;
  };
  if (used > fill) return null;
  const layers: number[] = [];
  for (const unit of unitsOf(parts)) {
    if (!put(unit)) return null;
    layers.push(...Array<number>(unit.count).fill(memory));
  }
  if (isTied) return { layers, head: 0 };
  return put({ bytes: head, count: 0, shared: [] }) ? { layers, head: memory } : null;
}
