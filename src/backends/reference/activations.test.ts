import { expect, it } from "vitest";
import type { ActivationKind } from "../ops.ts";
import { activationOf } from "./activations.ts";

it("activations are their definitions", () => {
  const at = (kind: ActivationKind, x: number): number => activationOf(kind, Float32Array.of(0.5, 0.25))(x);
  // GELU at 1 and −1 from tables of the normal distribution; its approximation is close by.
  expect(at("gelu", 1)).toBeCloseTo(0.8413447460685429, 14);
  expect(at("gelu", -1)).toBeCloseTo(-0.15865525393145707, 14);
  expect(at("gelu", 7)).toBe(7);
  expect(at("gelu_tanh", 1)).toBeCloseTo(0.8411919906082768, 14);
  expect(at("quick_gelu", 1)).toBeCloseTo(1 / (1 + Math.exp(-1.702)), 14);
  expect([at("relu", -3), at("relu", 3)]).toEqual([0, 3]);
  expect([at("relu2", -3), at("relu2", 3)]).toEqual([0, 9]);
  expect(at("xielu", 2)).toBeCloseTo(Math.log(1 + Math.exp(0.5)) * 4 + 1, 14);
  expect(at("xielu", -2)).toBeCloseTo((0.5 + Math.log(1 + Math.exp(0.25))) * (Math.exp(-2) + 1) - 1, 14);
});
