import { expect, it } from "vitest";
import { serverCache } from "./server-cache.ts";

const LAYERS = [{ codes: 10, scales: 2, sinks: 3, window: 1 }];

it("takes a report over", () => {
  expect(serverCache({ tokens: 7, bytes: 16, f16_bytes: 40, layers: LAYERS })).toEqual({
    tokens: 7,
    numBytes: 16,
    f16Bytes: 40,
    layers: LAYERS,
    shelf: null,
  });
});

it("takes what is no report for none", () => {
  const wrong = [undefined, null, {}, { tokens: 7, bytes: 16, layers: LAYERS }, { tokens: 7, bytes: 1, f16_bytes: 2 }];
  for (const report of wrong) expect(serverCache(report)).toBeNull();
  expect(serverCache({ tokens: 7, bytes: 16, f16_bytes: 40, layers: [] })).toBeNull();
});
