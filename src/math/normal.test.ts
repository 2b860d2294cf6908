import { expect, it } from "vitest";
import { normalQuantile } from "./normal.ts";

it.each([
  [0.5, 0],
  [0.95, 1.6448536269514722],
  [0.975, 1.959963984540054],
  [0.1, -1.2815515655446004],
  [0.999999, 4.753424308822899],
])("the quantile of %d", (p, expected) => {
  expect(normalQuantile(p)).toBeCloseTo(expected, 9);
});
