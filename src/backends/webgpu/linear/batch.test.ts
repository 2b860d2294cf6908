/** @file Which dispatches products of a batch are made of, and that none of them uses a buffer that has been freed. No device. */
import { beforeEach, describe, expect, it } from "vitest";
import type { WeightType } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands, PreparedDispatch } from "../queue/commands.ts";
import { batchTile } from "./batch-plan.ts";
import { GpuWeight } from "./gpu-weight.ts";
import { LinearKernels } from "./linear.ts";
import type { InputWork } from "./product.ts";

interface Ran {
  readonly label: string;
  readonly params: Readonly<Record<string, number>>;
  readonly buffers: readonly GpuBuffer[];
}

const freed = new Set<GpuBuffer>();
const ran: Ran[] = [];
let prepared = 0;
const buffer = (numBytes: number): GpuBuffer => ({ numBytes }) as GpuBuffer;

const allocator = {
  allocate: buffer,
  free: (it: GpuBuffer) => void freed.add(it),
} as unknown as BufferAllocator;
const context = {
  isSoftware: false,
  features: { matrices: true, subgroupSize: 32 },
  limits: { maxComputeWorkgroupStorageSize: 49_152, maxComputeInvocationsPerWorkgroup: 1024 },
  bindingBytes: 1 << 30,
} as unknown as GpuContext;
const commands = {
  kernel: (_key: string, make: () => object) => make(),
  prepare: (kernel: { label: string }, params: object, buffers: readonly GpuBuffer[]) => {
    prepared++;
    return { label: kernel.label, params, buffers } as unknown as PreparedDispatch;
  },
  run: (dispatch: unknown) => void ran.push(dispatch as Ran),
} as unknown as Commands;

function weight(rows: number, cols: number, chunks = 1, type: WeightType = "f16"): GpuWeight {
  const parts = Array.from({ length: chunks }, (_, i) => ({
    first: (i * rows) / chunks,
    rows: rows / chunks,
    words: buffer(1),
    scales: buffer(1),
  }));
  return new GpuWeight(rows, cols, type, parts, true);
}

describe("a product of a batch", () => {
  let kernels: LinearKernels;
  const w = weight(1024, 512);
  const [x, out, normWeight] = [buffer(1), buffer(1), buffer(1)];
  const norm: InputWork = { kind: "norm", weight: normWeight, eps: 1e-6 };
  const run = (rows: number, by: GpuWeight = w, work: InputWork | null = null): Ran[] => {
    ran.length = 0;
    kernels.run(x, by, null, rows, out, false, work);
    for (const { label, buffers } of ran) for (const it of buffers) expect(freed.has(it), label).toBe(false);
    return [...ran];
  };
  beforeEach(() => {
    kernels = new LinearKernels(context, commands, allocator);
    freed.clear();
    prepared = 0;
  });

  it("puts the rows into panels, then multiplies; all columns of a large matrix have a turn", () => {
    const [pack, product] = run(17);
    expect([pack!.label, product!.label]).toEqual(["panels of a batch", "linear f16, batch of 32"]);
    expect(pack!.params).toMatchObject({ rows: 17, cols: 512, lines: 32 });
    expect(pack!.params["panels"]! * 16).toBeGreaterThanOrEqual(512);
    expect(product!.buffers).toContain(pack!.buffers[2]);
    expect(run(64, weight(4096, 1040))[1]!.params["turns"]).toBe(3);
  });

  it("takes a norm or a gate along, and multiplies each chunk of a weight", () => {
    expect(run(9, w, norm).map(({ label }) => label)).toEqual(["panels of a batch, norm", "linear f16, batch of 16"]);
    expect(run(9, weight(64, 32, 2), { kind: "gate" }).map(({ label }) => label)).toEqual([
      "panels of a batch, gate",
      ...Array.from({ length: 2 }, () => "linear f16, batch of 16"),
    ]);
  });

  it("looks dispatches up once, and again after a larger batch has replaced the panels", () => {
    const first = run(17);
    expect(run(17)).toEqual(first);
    expect(prepared).toBe(2);
    run(64);
    expect(freed.size).toBe(1);
    expect(run(17)[0]!.buffers[2]).not.toBe(first[0]!.buffers[2]);
    expect(prepared).toBe(6);
    run(17);
    expect(prepared).toBe(6);
    // The same buffers with another norm are another product.
    run(17, w, norm);
    run(17, w, { ...norm, eps: 1e-5 });
    expect(prepared).toBe(10);
  });

  it("begins with five rows by halves and by codes, and with nine by types that were not measured", () => {
    expect(run(5, w, { kind: "gate" }).map(({ label }) => label)).toEqual([
      "panels of a batch, gate",
      "linear f16, batch of 16",
    ]);
    expect([4, 5].map((rows) => kernels.canGate(w, rows))).toEqual([true, false]);
    const q4 = weight(1024, 512, 1, "q4");
    expect(run(4, q4).map(({ label }) => label)).toEqual(["linear q4, 4 rows"]);
    expect(run(5, q4).map(({ label }) => label)).toEqual(["panels of a batch", "linear q4, batch of 16"]);
    expect([4, 5].map((rows) => kernels.canTake(q4, rows, { kind: "gate" }))).toEqual([false, true]);
    const bf16 = weight(1024, 512, 1, "bf16");
    expect([8, 9].map((rows) => kernels.canTake(bf16, rows, { kind: "gate" }))).toEqual([false, true]);
    expect(kernels.canGate(bf16, 8)).toBe(true);
  });

  it("takes the widest tile of codes that fits the workgroup memory, where there are outputs for it", () => {
    const tile = (outputs: number, bytes: number) => {
      const limits = { ...context.limits, maxComputeWorkgroupStorageSize: bytes };
      return batchTile({ ...context, limits } as unknown as GpuContext, weight(outputs, 512, 1, "q8"));
    };
    expect(tile(4096, 49_152)).toEqual({ outputs: 32, subgroups: 8, unroll: 4 });
    expect(tile(1024, 49_152)).toEqual({ outputs: 16, subgroups: 8, unroll: 4 });
    expect(tile(4096, 32_768)).toEqual({ outputs: 16, subgroups: 8, unroll: 4 });
    expect(tile(4096, 20_000)).toEqual({ outputs: 16, subgroups: 8, unroll: 2 });
    expect(tile(4096, 16_384)).toBeNull();
  });

  it("leaves few rows, many rows and weights that are not whole matrices to other kernels", () => {
    expect(kernels.canTake(w, 64, norm)).toBe(true);
    expect(kernels.canTake(w, 4, { kind: "gate" })).toBe(false);
    expect(kernels.canTake(weight(1000, 512), 64, norm)).toBe(false);
    expect(kernels.canTake(weight(1024, 520), 64, norm)).toBe(false);
    expect(run(4).map(({ label }) => label)).toEqual(["linear f16, 4 rows"]);
  });
});
