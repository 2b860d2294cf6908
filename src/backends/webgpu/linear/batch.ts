/** @file Matrix products of a batch of few rows on matrix units, by a weight as it is stored: x to panels of f16, then the product. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightType } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS, type PreparedDispatch } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type Shader, shader } from "../queue/shader-text.ts";
import { BATCH_LINES, type BatchTile, batchPanelBytes, batchPanels } from "./batch-plan.ts";
import { type BatchShape, batchText, batchValues } from "./batch-text.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { buffersOf, type InputWork, linearFields, type Product, paramsOf } from "./product.ts";
import { readers } from "./weight-text.ts";

const lineParams = new Struct({
  rows: "u32",
  cols: ["u32", "Values of a line that are there."],
  lines: ["u32", "Lines of a panel, and panels."],
  panels: "u32",
  eps: "f32",
});

const batchParams = new Struct({
  ...linearFields,
  turns: ["u32", "Turns until every subgroup has had its share of the columns."],
});

export class BatchKernels {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  /** Grows to the largest input, which the warm-up meets. */
  #panels: GpuBuffer | null = null;

  constructor(commands: Commands, allocator: BufferAllocator) {
    this.#commands = commands;
    this.#allocator = allocator;
  }

  /** The rows of the product at hand as f16, once there has been one. */
  get panels(): GpuBuffer | null {
    return this.#panels;
  }

  /** See `canUseBatch`. returns: the two or more dispatches of the product */
  prepare(w: GpuWeight, product: Product, tile: BatchTile): PreparedDispatch[] {
    const { x, work, rows } = product;
    const { cols } = w;
    const lines = BATCH_LINES.find((count) => count >= rows)!;
    const panels = batchPanels(cols, tile);
    const turns = panels / (tile.subgroups * tile.unroll);
    const xPanels = this.#room(batchPanelBytes(rows, cols, tile));
    const norm = work?.kind === "norm" ? work : null;
    const pack = { rows, cols, lines, panels, eps: norm?.eps ?? 0 };
    const kernel = this.#kernel(w.type, { rows: lines, ...tile });
    return [
      this.#commands.prepare(this.#packer(work?.kind ?? "plain"), pack, [x, norm?.weight ?? x, xPanels], lines, 1),
      ...w.chunks.map((chunk) => {
        const params = { ...paramsOf(w, chunk, product), turns };
        const groups = Math.ceil(chunk.rows / tile.outputs);
        const down = Math.ceil(groups / MAX_GROUPS);
        const buffers = buffersOf(chunk, product, xPanels);
        return this.#commands.prepare(kernel, params, buffers, Math.ceil(groups / down), down);
      }),
    ];
  }

  /** What is queued and uses a smaller buffer keeps it. */
  #room(numBytes: number): GpuBuffer {
    if (this.#panels && this.#panels.numBytes >= numBytes) return this.#panels;
    if (this.#panels) this.#allocator.free(this.#panels);
    this.#panels = this.#allocator.allocate(numBytes, "panels of a batch");
    return this.#panels;
  }

  #packer(work: InputWork["kind"] | "plain"): Kernel<typeof lineParams> {
    return this.#commands.kernel(`line-panels ${work}`, () => ({
      label: `panels of a batch${work === "plain" ? "" : `, ${work}`}`,
      shader: lineShader(work),
      buffers: ["read", "read", "write"],
    }));
  }

  #kernel(type: WeightType, shape: BatchShape): Kernel<typeof batchParams> {
    return this.#commands.kernel(`linear-batch ${type} ${JSON.stringify(shape)}`, () => ({
      label: `linear ${type}, batch of ${shape.rows}`,
      shader: batchShader(type, shape),
      buffers: ["read", "read", "read", "read", "write"],
    }));
  }
}

/** The text of line-panels.wgsl; a test compiles it too. */
export function lineShader(work: InputWork["kind"] | "plain"): Shader<typeof lineParams> {
  return shader("line-panels", lineParams, { NORMED: work === "norm", GATED: work === "gate" });
}

/** The text of linear-batch.wgsl for one shape; a test compiles it too. */
export function batchShader(type: WeightType, shape: BatchShape): Shader<typeof batchParams> {
  const { isHalf } = wgslWeightFormat(type);
  const values = { ...batchValues(shape), HALVES: isHalf };
  return shader("linear-batch", batchParams, values, { WEIGHT: readers(type, false), ...batchText(shape, isHalf) });
}
