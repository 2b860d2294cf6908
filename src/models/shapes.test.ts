import { describe, expect, it } from "vitest";
import { layoutOf, numParameters } from "./layout.ts";
import { shapeConfig, shapeNames } from "./shapes.ts";

const parameters = (name: string): number => numParameters(layoutOf(shapeConfig(name)));

describe("shapes", () => {
  // Totals as published on the models' pages, in millions.
  it.each([
    ["qwen3-0.6b", 596.05],
    ["qwen3-8b", 8190.74],
    ["qwen2.5-0.5b", 494.03],
    ["qwen2.5-7b", 7615.62],
    ["llama-3.2-1b", 1235.81],
    ["llama-3.1-8b", 8030.26],
    ["tinyllama-1.1b", 1100.05],
    ["mistral-7b", 7248.02],
    ["gemma-2-2b", 2614.34],
    ["gemma-3-1b", 999.89],
    ["qwen3-30b-a3b", 30_532.12],
    ["gpt-oss-20b", 20_914.76],
    // The 671.03 billion of DeepSeek-V3, and 61 indexers.
    ["deepseek-v3.2", 671_877.94],
    // 5.1 billion with those of vision and sound.
    ["gemma-4-e2b", 4628.57],
    ["qwen3.5-0.8b", 752.39],
    ["lfm2-1.2b", 1170.34],
  ])("%s has the published number of parameters", (name, millions) => {
    expect(parameters(name) / 1e6).toBeCloseTo(millions, 1);
  });

  it("all parse, with all layers and with their first ones", () => {
    for (const name of shapeNames) {
      expect(shapeConfig(name).headDim % 8).toBe(0);
      expect(shapeConfig(name, 3).numLayers).toBe(3);
    }
    // Fifteen layers have keys and values of their own.
    const sharing = (layers?: number) =>
      layoutOf(shapeConfig("gemma-4-e2b", layers)).layers.filter((branches) =>
        branches.some(({ block }) => block.state?.kind === "shared"),
      ).length;
    expect([undefined, 17, 5].map(sharing)).toEqual([20, 2, 0]);
    expect(() => shapeConfig("qwen3-0.7b")).toThrow(/expected one of qwen3-0\.6b/);
    expect(() => shapeConfig("toString")).toThrow(/expected one of/);
  });
});
