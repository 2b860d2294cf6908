/** @file How decode attention shares keys out. What its kernels compute is in test/contract, that they compile in test/wgsl-compiles.test.ts. */
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import type { AttentionLayer } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { type DecodeKernel, planDecode } from "./decode-attention.ts";

describe("decode attention", () => {
  it("gives short contexts shorter passes, so that no core is idle", () => {
    const [long, middle, short, whole] = [512, 256, 128, 128].map(
      (passKeys, i) => ({ passKeys, leastPasses: i === 3 ? 2 : 1, copySplits: 0 }) as DecodeKernel,
    );
    const context = { isSoftware: false } as GpuContext;
    const layerOf = (kv: string, slidingWindow: number) =>
      ({ numKvHeads: 8, slidingWindow, kv: { format: parseKvSpec(kv).forLayer(0) } }) as AttentionLayer;
    const kernels = { alone: [long!, middle!, short!], together: [middle!, whole!, short!] } as const;
    const plan = (keys: number, slidingWindow = 0, rows = 1) =>
      planDecode(context, { layer: layerOf("k4v4", slidingWindow) }, kernels, keys, rows);
    expect(plan(1)).toEqual({ kernel: short, splits: 1 });
    expect(plan(4096)).toEqual({ kernel: short, splits: 32 });
    expect(plan(16_384)).toEqual({ kernel: middle, splits: 64 });
    expect(plan(32_768)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072, 1024)).toEqual({ kernel: short, splits: 8 });
    expect(plan(4096, 0, 16)).toEqual({ kernel: middle, splits: 8 });
    expect(plan(672, 0, 32)).toEqual({ kernel: whole, splits: 3 });
    expect(plan(672, 0, 8)).toEqual({ kernel: short, splits: 6 });
    // Floats fill the device with fewer workgroups.
    const floats = { ...kernels, together: [whole!, short!] } as const;
    const planFloats = (keys: number, rows: number) =>
      planDecode(context, { layer: layerOf("f16", 0) }, floats, keys, rows);
    expect(planFloats(672, 64)).toEqual({ kernel: whole, splits: 1 });
    expect(planFloats(672, 16)).toEqual({ kernel: short, splits: 6 });
    expect(planFloats(4096, 8)).toEqual({ kernel: whole, splits: 11 });
  });
});
