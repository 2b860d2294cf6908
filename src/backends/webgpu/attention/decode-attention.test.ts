/** @file How decode attention shares keys out. What its kernels compute is in test/contract, that they compile in test/wgsl-compiles.test.ts. */
import { describe, expect, it } from "vitest";
import type { AttentionLayer } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { type DecodeKernel, planDecode } from "./decode-attention.ts";

describe("decode attention", () => {
  it("gives short contexts shorter passes, so that no core is idle", () => {
    const [long, middle, short] = [512, 256, 128].map((passKeys) => ({ passKeys }) as DecodeKernel);
    const context = { isSoftware: false } as GpuContext;
    const layer = { numKvHeads: 8, slidingWindow: 0 } as AttentionLayer;
    const plan = (keys: number, slidingWindow = 0, rows = 1) =>
      planDecode(context, { layer: { ...layer, slidingWindow } }, [long!, middle!, short!], keys, rows);
    expect(plan(1)).toEqual({ kernel: short, splits: 1 });
    expect(plan(4096)).toEqual({ kernel: short, splits: 32 });
    expect(plan(16_384)).toEqual({ kernel: middle, splits: 64 });
    expect(plan(32_768)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072, 1024)).toEqual({ kernel: short, splits: 8 });
    expect(plan(4096, 0, 16).kernel).toBe(long);
  });
});
