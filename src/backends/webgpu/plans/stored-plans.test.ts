/** @file Which plans of the tuner are read again, which are left aside and why, and where they are used. */
import { describe, expect, it } from "vitest";
import { kernelSources, kernelsHash } from "../../../../tools/kernel-sources.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import type { GpuContext } from "../device/context.ts";
import type { GpuWeight } from "../linear/gpu-weight.ts";
import { planLinear } from "../linear/linear-plan.ts";
import { type AttentionShape, decodeKey, prefillKey } from "./attention-choice.ts";
import { KernelPlans, type Plan, type Winner } from "./kernel-plans.ts";
import { productKey } from "./product-choice.ts";
import { formatPlans, parsePlans, planFile } from "./stored-plans.ts";

const context = {
  adapter: { device: "acme x1 A-200", driver: "acme 1.2.3" },
  isSoftware: false,
  features: { f16: true, matrices: true, subgroupSize: 32 },
  limits: { maxComputeWorkgroupStorageSize: 49_152, maxComputeInvocationsPerWorkgroup: 1024 },
  bindingBytes: 1 << 30,
} as unknown as GpuContext;
const weight = (rows: number, cols: number): GpuWeight =>
  ({ type: "q8", rows, cols, fitsHalf: true, chunks: [{ rows }] }) as unknown as GpuWeight;
const layer = {
  ...{ numHeads: 16, numKvHeads: 8, headDim: 128, valueDim: 128, rotaryKeyDim: 0, softcap: 0, slidingWindow: 0 },
  kv: { format: parseKvSpec("k4v4").forLayer(0) },
} as AttentionShape;

const key = (rows: number, gated = false) => productKey({ type: "q8", outputs: 1024, cols: 512, rows, gated });
const winner = (of: string, plan: Plan): Winner => ({ key: of, plan, us: 8, ruleUs: 10, spread: 0.1 });
const WINNERS = [
  winner(key(1), { kernel: "rows", outputs: 2, unroll: 1 }),
  winner(key(512), { kernel: "panels", shares: 4 }),
  winner(decodeKey(layer, 4096, 1), { own: 2, threads: 256 }),
  winner(prefillKey(layer, 4096, 512), { rows: 256, splits: 1 }),
];
const text = formatPlans(context, { winners: WINNERS, byRule: [key(8)] });

describe("plans that are kept", () => {
  it("are read as they were written", () => {
    expect(parsePlans(context, text)).toEqual({ winners: WINNERS, byRule: [key(8)] });
    expect(planFile(context)).toBe("kernels-acme-x1-a-200.json");
  });

  it("hold for one driver, one device, its features and these kernels", () => {
    const other = (more: object): GpuContext => ({ ...context, ...more }) as GpuContext;
    const driver = parsePlans(other({ adapter: { ...context.adapter, driver: "acme 2" } }), text);
    expect(driver).toEqual({ why: 'it is of the driver "acme 1.2.3", this is "acme 2"' });
    expect(parsePlans(other({ adapter: { device: "b", driver: "acme 1.2.3" } }), text)).toMatchObject({
      why: expect.stringContaining("of the device"),
    });
    expect(parsePlans(other({ features: { ...context.features, f16: false } }), text)).toEqual({
      why: "the device has other features now",
    });
    expect(parsePlans(context, text.replace(/"kernels": "\w+"/, '"kernels": "0"'))).toEqual({
      why: "kernels have changed since",
    });
  });

  it("are as old as the sources of kernels: their texts, what makes these, chooses among them and dispatches them, and what is imported there", async () => {
    const sources = await kernelSources();
    for (const path of [
      "attention/attend-decode.wgsl",
      "attention/decode-text.ts",
      "linear/linear-plan.ts",
      "backend.ts",
    ])
      expect(sources).toContain(`src/backends/webgpu/${path}`);
    // What files of the backend import, by way of others too.
    for (const path of ["backends/decode-tokens.ts", "quant/codebook.ts", "weights/formats/q8.ts", "math/lloyd-max.ts"])
      expect(sources).toContain(`src/${path}`);
    expect(sources).not.toContain("src/engine/llm.ts");
    expect(sources.filter((path) => path.includes("generated") || path.includes(".test."))).toEqual([]);
    expect(JSON.parse(text)).toMatchObject({ kernels: await kernelsHash() });
  });

  it.each([
    ["cut short", text.slice(0, 200)],
    ["another file", '{"format": "something else", "winners": []}'],
    ["no list", text.replace(/"byRule": \[[^\]]*\]/, '"byRule": 3')],
    ["a plan that there is not", text.replace('"unroll": 1', '"unroll": 3')],
    ["a setting that there is not", text.replace('"threads": 256', '"threads": 4096')],
    ["parts without end", text.replace('"splits": 1', '"splits": 1000')],
    ["a time that is none", text.replace('"us": 8', '"us": null')],
  ])("are damaged: %s", (_, damaged) => {
    expect(damaged).not.toBe(text);
    expect(parsePlans(context, damaged)).toEqual({ why: "it is damaged" });
  });
});

describe("the choice of plans", () => {
  const plans = new KernelPlans(WINNERS);

  it("takes a winner for its shape, and the rule's plan for every other", () => {
    const w = weight(1024, 512);
    expect(plans.product(context, w, 1)).toBe(WINNERS[0]!.plan);
    // Numbers of rows that fill as many tiles have one plan.
    expect(plans.product(context, w, 400)).toBe(WINNERS[1]!.plan);
    for (const rows of [2, 8, 64, 384, 513])
      expect(plans.product(context, w, rows)).toEqual(planLinear(context, w, rows));
    expect(plans.product(context, weight(1024, 256), 1)).toEqual(planLinear(context, weight(1024, 256), 1));
    expect(plans.product(context, w, 1, { gated: true })).toEqual({ kernel: "rows", outputs: 1, unroll: 2 });
  });

  it("takes the rule's plan where the winner cannot run", () => {
    const w = weight(1024, 512);
    // Panels need places that are multiples of sixteen.
    expect(plans.product(context, w, 512, { offset: 8, total: 1032 }).kernel).not.toBe("panels");
    const small = { ...context, limits: { ...context.limits, maxComputeWorkgroupStorageSize: 16_384 } } as GpuContext;
    expect(plans.product(small, w, 512).kernel).not.toBe("panels");
  });

  it("goes by the nearest context for attention", () => {
    const own = plans.ofLayer(layer);
    expect(plans.decode(own, layer, 4096, 1)).toBe(WINNERS[2]!.plan);
    expect(plans.decode(own, layer, 3000, 1)).toBe(WINNERS[2]!.plan);
    for (const [keys, rows] of [
      [2048, 1],
      [6000, 1],
      [4096, 2],
    ] as const) {
      expect(plans.decode(own, layer, keys, rows)).toEqual({});
    }
    const span = { start: 3584, count: 512 };
    expect(plans.prefill(own, layer, span, true)).toBe(WINNERS[3]!.plan);
    // No tiles for matrix units where a layer does not go there.
    expect(plans.prefill(own, layer, span, false).rows).not.toBe(256);
    expect(new KernelPlans().ofLayer(layer)).toBeNull();
  });

  it("warms up the rows that have plans of their own", () => {
    expect(plans.rowCounts(1024).sort((a, b) => a - b)).toEqual([1, 512]);
    expect(plans.rowCounts(512)).toEqual([1]);
  });
});
