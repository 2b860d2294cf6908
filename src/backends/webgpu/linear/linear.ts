/** @file Matrix products and embeddings: which kernel a shape gets, and its dispatch. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightType } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { shaders } from "../generated/shaders.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shaderText } from "../queue/shader-text.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { type LinearPlan, planLinear } from "./linear-plan.ts";
import { type MatrixTile, matrixText, matrixValues } from "./matrix-text.ts";
import { PanelKernels } from "./panels.ts";
import { rowsText } from "./rows-text.ts";
import { readers } from "./weight-text.ts";

/** Invocations of linear-rows.wgsl, and outputs of a tile of linear-tiled.wgsl. */
const ROW_THREADS = 128;
const TILED_OUTPUTS = 64;

const ACCESS = ["read", "read", "read", "read", "write"] as const;

export class LinearKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #panels: PanelKernels;

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator) {
    this.#context = context;
    this.#commands = commands;
    this.#panels = new PanelKernels(context, commands, allocator);
  }

  /**
   * out[r] (+)= w · x[r] (+ bias) for r < rows. x: [rows][w.cols] · out: [rows][w.rows]
   *
   * On matrix units x and w are rounded to f16, x beyond ±65504 to that.
   */
  run(
    x: GpuBuffer,
    w: GpuWeight,
    bias: GpuWeight | null,
    rows: number,
    out: GpuBuffer,
    add: boolean,
    plan: LinearPlan = planLinear(this.#context, w, rows),
  ): void {
    if (plan.kernel === "panels") {
      this.#panels.run(x, w, bias, rows, out, add, plan.shares);
      return;
    }
    for (const { first, rows: outputs, words, scales } of w.chunks) {
      const params = [rows, w.cols, w.stride, outputs, first, w.rows, bias ? 1 : 0, add ? 1 : 0];
      const buffers = [words, scales, x, bias ? bias.buffer : scales, out];
      const tail = w.cols % 8 !== 0;
      if (plan.kernel === "rows") {
        const { kernel, lanes } = this.#rows(w.type, tail, rows, plan);
        const groups = Math.ceil(outputs / ((ROW_THREADS / lanes) * plan.outputs));
        const down = Math.ceil(groups / MAX_GROUPS);
        this.#commands.dispatch(kernel, params, buffers, Math.ceil(groups / down), down);
      } else if (plan.kernel === "tiled") {
        const kernel = this.#tiled(w.type, tail, plan.each);
        const down = Math.ceil(rows / (16 * plan.each));
        this.#commands.dispatch(kernel, params, buffers, Math.ceil(outputs / TILED_OUTPUTS), down);
      } else {
        const { tile, views } = plan;
        const down = Math.ceil(rows / tile.rows);
        const kernel = this.#matrix(w.type, tail, tile, views);
        this.#commands.dispatch(kernel, params, buffers, Math.ceil(outputs / tile.outputs), down);
      }
    }
  }

  /** out[row] = table[token], tokens[tokenAt + row · tokenStride] */
  embed(tokens: GpuBuffer, tokenAt: number, tokenStride: number, rows: number, table: GpuWeight, out: GpuBuffer): void {
    for (const { first, rows: count, words, scales } of table.chunks) {
      const kernel = this.#embed(table.type);
      const params = [rows, table.cols, table.stride, tokenAt, tokenStride, first, count];
      this.#commands.dispatch(kernel, params, [words, scales, tokens, out], rows);
    }
  }

  #rows(
    type: WeightType,
    tail: boolean,
    rows: number,
    { outputs, unroll }: { readonly outputs: number; readonly unroll: number },
  ): { kernel: Kernel; lanes: number } {
    const { subgroupSize } = this.#context.features;
    const most = 2 ** Math.ceil(Math.log2(rows));
    // Lanes of a subgroup add up without workgroup memory.
    const subgroups = subgroupSize > 0 && subgroupSize <= ROW_THREADS;
    const lanes = subgroups ? subgroupSize : 32;
    const values = { SUBGROUPS: subgroups, TAIL: tail, LANES: lanes, OUTPUTS: outputs, UNROLL: unroll };
    const kernel = this.#commands.kernel(`linear-rows ${type} ${most} ${JSON.stringify(values)}`, () => ({
      label: `linear ${type}, ${most} row${most > 1 ? "s" : ""}`,
      code: shaderText("linear-rows", shaders["linear-rows"], values, {
        WEIGHT: readers(type, tail),
        ...rowsText({ rows: most, outputs, unroll }, subgroups),
      }),
      buffers: ACCESS,
    }));
    return { kernel, lanes };
  }

  #tiled(type: WeightType, tail: boolean, each: number): Kernel {
    return this.#commands.kernel(`linear-tiled ${type} ${tail} ${each}`, () => ({
      label: `linear ${type}, tiles`,
      code: shaderText(
        "linear-tiled",
        shaders["linear-tiled"],
        { TAIL: tail, EACH: each },
        { WEIGHT: readers(type, tail) },
      ),
      buffers: ACCESS,
    }));
  }

  #matrix(type: WeightType, tail: boolean, tile: MatrixTile, views: boolean): Kernel {
    return this.#commands.kernel(`linear-matrix ${type} ${tail} ${views} ${JSON.stringify(tile)}`, () => ({
      label: `linear ${type}, matrix units`,
      code: matrixCode(type, tail, tile, views),
      buffers: ACCESS,
    }));
  }

  #embed(type: WeightType): Kernel {
    return this.#commands.kernel(`embed ${type}`, () => ({
      label: `embed ${type}`,
      code: shaderText("embed", shaders.embed, {}, { WEIGHT: readers(type, true) }),
      buffers: ["read", "read", "read", "write"],
    }));
  }
}

/** The text of linear-matrix.wgsl for one tile: also for a test that only compiles it. */
export function matrixCode(type: WeightType, tail: boolean, tile: MatrixTile, views: boolean): string {
  const values = { ...matrixValues(tile), TAIL: tail, VIEWS: views, HALVES: wgslWeightFormat(type).isHalf };
  const inserts = { WEIGHT: readers(type, tail), ...matrixText(tile, views) };
  return shaderText("linear-matrix", shaders["linear-matrix"], values, inserts);
}
