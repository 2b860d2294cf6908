import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../models/config.ts";
import { shapeConfig } from "../models/shapes.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { codesRead, requireCodesRead } from "./codes-read.ts";

const config = shapeConfig("qwen3-0.6b", 2);
const share = (kv: string, tokens: number) => codesRead(config, parseKvSpec(kv), tokens);
const pairs = (tokens: number) => (tokens * (tokens + 1)) / 2;

describe("codesRead", () => {
  it("counts pairs of queries and keys: all without a window, none within it, a triangle behind it", () => {
    expect(share("k4v4,sinks=0,window=0", 100)).toBe(1);
    for (const [kv, finer] of [
      ["k4v4,window=16bit", 4 + 128],
      ["k4v4", 16 + 144],
      ["k1v1", 16 + 96],
    ] as const) {
      expect(share(kv, finer), kv).toBe(0);
      // The query behind them is the first with a key outside sinks and window.
      expect(share(kv, finer + 1), kv).toBe(1 / pairs(finer + 1));
      expect(share(kv, 1000), kv).toBe(pairs(1000 - finer) / pairs(1000));
    }
    expect(share("k4v4,window=2048", 1000)).toBe(0);
    expect(share("f16", 1000)).toBeNull();
  });
});

it("where several tokens have one row, a window is one of rows", () => {
  const layer_types = ["sliding_attention", "compressed_sparse_attention"];
  const v4 = parseModelConfig(
    { model_type: "deepseek_v4", hidden_size: 4096, num_hidden_layers: 2, layer_types },
    "config.json",
  );
  const read = (kv: string, tokens: number) => codesRead(v4, parseKvSpec(kv), tokens)!;
  // Both layers attend to 128 tokens, all of which are in the window; one also has rows and index keys of 4 tokens each.
  expect(read("k8v8,sinks=0", 1000)).toBeCloseTo((2 * (pairs(250 - 128) / pairs(250))) / 4, 12);
  expect(read("k8v8,sinks=0,window=0", 3)).toBe(1);
});

describe("requireCodesRead", () => {
  const require = (kv: string, ctx: number, context: number) => () =>
    requireCodesRead({ config }, "recommend", [kv], { ctx, context });

  it("refuses texts within the window, and those that hardly leave it, with a length that would do", () => {
    expect(require("k1v1", 112, 4096)).toThrow(/in 112 tokens none of what attention reads of k1v1 are codes/);
    expect(require("k1v1", 120, 4096)).toThrow(/only 0 % .* sinks and window \(16 and 96 tokens\)/);
    expect(require("k1v1,window=16bit", 144, 4096)).toThrow(
      /only 1 % .* sinks and window \(4 and 128 tokens\).* pass --ctx 448/,
    );
    expect(require("k1v1,window=2048", 1024, 4096)).toThrow(/none of what attention reads/);
    expect(require("k4v4,window=40958", 2048, 40960)).toThrow(/take a smaller window/);
    expect(require("k1v1", 448, 4096)).not.toThrow();
    expect(require("k1v1,sinks=0,window=0", 128, 4096)).not.toThrow();
    expect(require("f16", 16, 4096)).not.toThrow();
  });

  it("of tiers asks for the coarsest one that the context has", () => {
    const tiers = "tiers=8:128,4:4096,2";
    expect(require(tiers, 2048, 8192)).toThrow(/none of what attention reads .* of its coarsest tier/);
    expect(require(tiers, 2048, 4096)).not.toThrow();
    expect(require(tiers, 8192, 8192)).not.toThrow();
  });

  it("of tiers never advises a window, which they refuse, and counts layers without tiers by themselves", () => {
    const tiers = "tiers=8:128,4:4096,2";
    expect(require(tiers, 2048, 8192)).toThrow(/pass --ctx \d+ or more$/);
    const mixed = share(`${tiers},layers=0:k8v8`, 8192)!;
    const [plain, all] = [share("tiers=8:128,4", 8192)!, share(tiers, 8192)!];
    expect(plain).toBeGreaterThan(all);
    expect(mixed).toBeCloseTo((plain + all) / 2, 12);
  });

  it("asks for no more than the context itself reads as codes", () => {
    expect(require("k4v4", 160, 200)).toThrow(/--ctx/);
    expect(require("k4v4", 200, 200)).not.toThrow();
  });
});
