import { expect, it } from "vitest";
import { parseHubId } from "../../../src/formats/hub-id.ts";
import { CATALOGUE, fitsDevice } from "./catalogue.ts";

it("names models on the hub, the smallest first", () => {
  for (const { ref } of CATALOGUE) expect(parseHubId(ref), ref).not.toBeNull();
  const sizes = CATALOGUE.map(({ bytes }) => bytes);
  expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
});

it.each<[string, number, number | null, boolean, boolean | null]>([
  ["a small model on a small device", 0.3e9, 2 * 2 ** 30, false, true],
  ["a large model on a small device", 2.5e9, 4 * 2 ** 30, true, false],
  ["a large model on a graphics card", 2.5e9, 8 * 2 ** 30, true, true],
  ["what 32-bit addresses do not reach", 3e9, 8 * 2 ** 30, false, false],
  ["a browser that says nothing", 1e9, null, false, null],
])("%s", (_, bytes, memoryBytes, hasGpu, fits) => {
  expect(fitsDevice({ bytes }, { memoryBytes, hasGpu })).toBe(fits);
});
