import { allocatedBytes, parseKvSpec } from "turboquant";
import { modelOfConfig, shapeConfig } from "turboquant/plan";
import { expect, it } from "vitest";
import { savesFrom } from "./cache-state.ts";
import { DEFAULT_KV } from "./engine-choice.ts";

it("the page's own format takes less than f16 at any length, the shortest too", () => {
  const config = shapeConfig("qwen3-0.6b");
  const ratio = (tokens: number): number =>
    allocatedBytes(config, parseKvSpec("f16"), tokens) / allocatedBytes(config, parseKvSpec(DEFAULT_KV), tokens);
  for (let tokens = 1; tokens <= 300; tokens++) expect(ratio(tokens), `${tokens} tokens`).toBeGreaterThan(1.8);
});

it.each(["k4v4", "k8v8", "k2v2", "paper-4", "f16"])(
  "%s saves from the length on at which its pages take less than f16's",
  (kv) => {
    const config = shapeConfig("qwen3-0.6b");
    const saves = (tokens: number): boolean =>
      allocatedBytes(config, parseKvSpec(kv), tokens) < allocatedBytes(config, parseKvSpec("f16"), tokens);
    const first = savesFrom(modelOfConfig(config, "qwen3-0.6b"), parseKvSpec(kv), 4096);
    expect(first === null).toBe(kv === "f16");
    if (first === null) return;
    expect([first, first + 16, 2048].map(saves)).toEqual([true, true, true]);
    expect(first === 16 || !saves(first - 16)).toBe(true);
  },
);
