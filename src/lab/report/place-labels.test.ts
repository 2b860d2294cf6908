import fc from "fast-check";
import { expect, it } from "vitest";
import { spread } from "./figures/lines.ts";
import { placeLabels } from "./place-labels.ts";
import { CHARACTER_WIDTH } from "./plot-context.ts";

const frame = { left: 0, right: 700, top: 0, bottom: 400 };

it("labels overlap neither each other nor a point, and stay in the frame", () => {
  const point = fc.record({ x: fc.integer({ min: 0, max: 700 }), y: fc.integer({ min: 0, max: 400 }) });
  fc.assert(
    fc.property(fc.array(point, { maxLength: 30 }), (points) => {
      const placed = placeLabels(
        points.map((at, i) => ({ ...at, text: `label ${i}` })),
        points,
        frame,
      );
      const boxes = placed.map(({ x, y, dx, dy, anchor, text }) => {
        const width = text.length * CHARACTER_WIDTH;
        const left = x + dx - (anchor === "end" ? width : anchor === "middle" ? width / 2 : 0);
        return { left, right: left + width, top: y + dy - 7, bottom: y + dy + 7 };
      });
      const all = [...boxes, ...points.map(({ x, y }) => ({ left: x - 4, right: x + 4, top: y - 4, bottom: y + 4 }))];
      for (const [i, a] of boxes.entries()) {
        expect(a.left).toBeGreaterThanOrEqual(frame.left);
        expect(a.right).toBeLessThanOrEqual(frame.right);
        for (const b of all.slice(i + 1)) {
          expect(a.left >= b.right || b.left >= a.right || a.top >= b.bottom || b.top >= a.bottom).toBe(true);
        }
      }
    }),
  );
  expect(placeLabels([{ x: 100, y: 100, text: "alone" }], [{ x: 100, y: 100 }], frame)).toHaveLength(1);
});

it("ends of lines are moved apart, in their order, no farther than needed", () => {
  expect(spread([10, 100, 200])).toEqual([10, 100, 200]);
  const moved = spread([50, 51, 49, 300]);
  expect(moved[3]).toBe(300);
  const sorted = moved.toSorted((a, b) => a - b);
  for (let i = 1; i < sorted.length; i++) expect(sorted[i]! - sorted[i - 1]!).toBeGreaterThan(13.9);
  expect(moved[2]!).toBeLessThan(moved[0]!);
  expect(moved[0]!).toBeLessThan(moved[1]!);
});
