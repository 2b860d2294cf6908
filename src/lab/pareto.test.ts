import fc from "fast-check";
import { expect, it } from "vitest";
import { paretoFront } from "./pareto.ts";

type Point = readonly [number, number];
const front = (points: readonly Point[]) =>
  paretoFront(
    points,
    (p) => p[0],
    (p) => p[1],
  );

it("keeps exactly what nothing beats", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(12), fc.nat(12))), (points) => {
      const beats = (a: Point, b: Point): boolean => a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
      const expected = new Set(points.filter((p) => !points.some((q) => beats(q, p))).map(String));
      const found = front(points).map(String);
      expect(new Set(found)).toEqual(expected);
      expect(found.length).toBe(expected.size);
    }),
  );
});

it("is ascending in x and descending in y", () => {
  const points: Point[] = [
    [3, 1],
    [1, 5],
    [2, 2],
    [2, 9],
    [9, 1],
  ]; // prettier-ignore
  expect(front(points)).toEqual([
    [1, 5],
    [2, 2],
    [3, 1],
  ]); // prettier-ignore
});
