import { expect, it } from "vitest";
import { serverCache } from "./server-cache.ts";

const LAYERS = [{ layer: 2, codes: 10, scales: 2, sinks: 3, window: 1, state: 5 }];

it("takes a report over", () => {
  const report = { tokens: 7, bytes: 21, f16_bytes: 40 };
  const state = { tokens: 7, numBytes: 21, f16Bytes: 40, formats: [], shelf: null };
  const layers = LAYERS.map((layer) => ({ ...layer, f16Bytes: 40 }));
  expect(serverCache({ ...report, layers: LAYERS.map((layer) => ({ ...layer, f16_bytes: 40 })) })).toEqual({
    ...state,
    layers,
  });
  // Of a server that says less.
  expect(serverCache({ ...report, layers: [{ codes: 10 }] })!.layers).toEqual([
    { layer: 0, codes: 10, scales: 0, sinks: 0, window: 0, state: 0, f16Bytes: 40 },
  ]);
});

it("takes what is no report for none", () => {
  const wrong = [undefined, null, {}, { tokens: 7, bytes: 16, layers: LAYERS }, { tokens: 7, bytes: 1, f16_bytes: 2 }];
  for (const report of wrong) expect(serverCache(report)).toBeNull();
  expect(serverCache({ tokens: 7, bytes: 16, f16_bytes: 40, layers: [] })).toBeNull();
});
