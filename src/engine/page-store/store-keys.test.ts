/** @file Keys of parts: another one for whatever their bytes depend on. */
import { expect, it } from "vitest";
import type { LLM } from "../llm.ts";
import { StoreKeys } from "./store-keys.ts";

const MODEL = {
  ...{ fingerprint: "weights+calibration", digest: "every tensor", kvSpec: "k4v4", backend: "wasm" },
  weights: { q8: 10, f32: 3 },
};
const PART = ["end", "hash", 0] as const;

function keyOf(more: Partial<typeof MODEL> = {}, part: Parameters<StoreKeys["of"]> = [...PART]): string {
  const { fingerprint, digest, kvSpec, backend, weights } = { ...MODEL, ...more };
  const llm = {
    snapshotIdentity: { fingerprint, kvSpec },
    ops: { name: backend },
    decoder: { weightsOfType: weights },
  } as unknown as LLM;
  return new StoreKeys(llm, digest).of(...part);
}

it("differ by model, calibration, format, backend, types of weights, tokens, kind and rope", () => {
  const keys = [
    keyOf(),
    keyOf({ fingerprint: "weights" }),
    keyOf({ digest: "other tensors" }),
    keyOf({ kvSpec: "k4v4,window=64" }),
    keyOf({ backend: "webgpu" }),
    keyOf({ weights: { q8: 9, f32: 4 } }),
    keyOf({}, ["sealed", "hash", 0]),
    keyOf({}, ["end", "other", 0]),
    keyOf({}, ["end", "hash", 4096]),
  ];
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(keyOf({ weights: { f32: 3, q8: 10 } })).toBe(keys[0]);
});
