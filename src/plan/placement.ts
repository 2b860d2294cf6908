/** @file Shares a model out among memories of one size: as few as hold it, and then as evenly as they can. */
import { numMemories, type Placement } from "../models/placement.ts";

/** Bytes of those parts of a model that cannot be divided. */
export interface ModelParts {
  readonly embedding: number;
  /** Of each layer: its weights, its pages, and what is kept for its calibration. */
  readonly layers: readonly number[];
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

/** Layers that cannot be in different memories, as one. */
function units({ layers, together }: ModelParts): { readonly bytes: number; readonly count: number }[] {
  if (!together) return layers.map((bytes) => ({ bytes, count: 1 }));
  const { first, last } = together;
  const joined = layers.slice(first, last + 1);
  return [
    ...layers.slice(0, first).map((bytes) => ({ bytes, count: 1 })),
    { bytes: joined.reduce((sum, bytes) => sum + bytes, 0), count: joined.length },
    ...layers.slice(last + 1).map((bytes) => ({ bytes, count: 1 })),
  ];
}

/** Fills one memory after the other up to `fill` bytes, in the order of the forward pass. */
function packed(parts: ModelParts, fill: number): Placement | null {
  const { embedding, head, isTied } = parts;
  const layers = units(parts);
  let memory = 0;
  let used = embedding + (isTied ? head : 0);
  if (used > fill || Math.max(...layers.map(({ bytes }) => bytes), isTied ? 0 : head) > fill) return null;
  const put = (bytes: number): number => {
    if (used + bytes > fill) {
      memory++;
      used = 0;
    }
    used += bytes;
    return memory;
  };
  const placed = layers.flatMap(({ bytes, count }) => Array<number>(count).fill(put(bytes)));
  return { layers: placed, head: isTied ? 0 : put(head) };
}
