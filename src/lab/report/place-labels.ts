/** @file Places labels beside their points so that they cover neither each other nor other points. */
import { CHARACTER_WIDTH } from "./plot-context.ts";

export interface LabelRequest {
  /** The point's position in pixels. */
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

export interface Placement {
  readonly dx: number;
  readonly dy: number;
  readonly anchor: "start" | "end" | "middle";
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const HEIGHT = 14;
const GAP = 8;
/** Sides of a point where a label may be, the most readable first. */
const PLACES = [
  { dx: GAP, dy: 0, anchor: "start" },
  { dx: GAP, dy: -12, anchor: "start" },
  { dx: GAP, dy: 12, anchor: "start" },
  { dx: -GAP, dy: 0, anchor: "end" },
  { dx: 0, dy: -14, anchor: "middle" },
  { dx: 0, dy: 15, anchor: "middle" },
  { dx: -GAP, dy: 12, anchor: "end" },
  { dx: -GAP, dy: -12, anchor: "end" },
] as const;

const overlap = (a: Box, b: Box): number =>
  Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
  Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

/**
 * Places labels in the order of their importance. A label without a free place is left out.
 *
 * points: all points that must stay visible, in pixels · frame: the area for labels
 */
export function placeLabels<T extends LabelRequest>(
  labels: readonly T[],
  points: readonly { readonly x: number; readonly y: number }[],
  frame: Box,
): (T & Placement)[] {
  const taken: Box[] = points.map(({ x, y }) => ({ left: x - 4, right: x + 4, top: y - 4, bottom: y + 4 }));
  const placed: (T & Placement)[] = [];
  for (const label of labels) {
    const width = label.text.length * CHARACTER_WIDTH;
    for (const place of PLACES) {
      const start = label.x + place.dx - (place.anchor === "end" ? width : place.anchor === "middle" ? width / 2 : 0);
      const middle = label.y + place.dy;
      const box = { left: start, right: start + width, top: middle - HEIGHT / 2, bottom: middle + HEIGHT / 2 };
      const isInside =
        box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
      if (!isInside || taken.some((other) => overlap(box, other) > 0)) continue;
      taken.push(box);
      placed.push({ ...label, ...place });
      break;
    }
  }
  return placed;
}
