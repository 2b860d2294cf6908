/** @file Shares a model out among memories of one size: as few as hold it, and then as evenly as they can. */
import { numMemories, type Placement } from "../models/placement.ts";

/** Bytes of those parts of a model that cannot be divided. */
export interface ModelParts {
  readonly embedding: number;
  /** Of each layer: its weights, its pages, and what is kept for its calibration. */
  readonly layers: readonly number[];
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

/** Fills one memory after the other up to `fill` bytes, in the order of the forward pass. */
function packed({ embedding, layers, head, isTied }: ModelParts, fill: number): Placement | null {
  let memory = 0;
  let used = embedding + (isTied ? head : 0);
  if (used > fill || Math.max(...layers, isTied ? 0 : head) > fill) return null;
  const put = (bytes: number): number => {
    if (used + bytes > fill) {
      memory++;
      used = 0;
    }
    used += bytes;
    return memory;
  };
  const placed = layers.map(put);
  return { layers: placed, head: isTied ? 0 : put(head) };
}
