import { expect, it } from "vitest";
import { compactWeightTypes } from "../../../src/weights/registry.ts";
import { WEIGHT_CHOICES } from "./protocol.ts";

it("the page offers the formats of fewer bits that the engine has", () => {
  expect(WEIGHT_CHOICES).toEqual(["auto", ...compactWeightTypes()]);
});
