/** @file Matrix products and embeddings: chooses a kernel by shape and dispatches it. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightType } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { StackedWeight, WeightRun } from "../../stacked-weight.ts";
import type { GpuContext } from "../device/context.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type Shader, shader } from "../queue/shader-text.ts";
import { asGpuWeight, type GpuWeight } from "./gpu-weight.ts";
import { type LinearPlan, planLinear } from "./linear-plan.ts";
import { type MatrixTile, matrixText, matrixValues } from "./matrix-text.ts";
import { PanelKernels } from "./panels.ts";
import { rowsText } from "./rows-text.ts";
import { readers } from "./weight-text.ts";

/** Invocations of a workgroup of linear-rows.wgsl; outputs of a tile of linear-tiled.wgsl, whose 16 × 16 invocations have four each. */
const ROW_THREADS = 128;
const TILED_OUTPUTS = 64;

/** Of all kernels that read the weight as it is stored. */
const linearParams = new Struct({
  rows: "u32",
  cols: ["u32", "Columns of x; units of eight columns from a row of the weight to the next."],
  stride: "u32",
  outputs: ["u32", "Rows of the weight that are here, the first of them, and all."],
  first: "u32",
  total: "u32",
  hasBias: "u32",
  add: ["u32", "1: the products are added to `out`."],
});

const embedParams = new Struct({
  rows: "u32",
  cols: ["u32", "Columns of the table; units of eight columns from a row to the next."],
  stride: "u32",
  tokenAt: ["u32", "Word of the first token, and words from a token to the next."],
  tokenStride: "u32",
  first: ["u32", "Rows of the table that are here: the first and their number. Other tokens leave their rows alone."],
  count: "u32",
});

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
   * On matrix units x and w are rounded to f16, and x is clamped to ±65504.
   *
   * offset, total: of a run of a stack, the place of its outputs in a row of `out` and the length of that row; `bias` is the
   * stack's
   */
  run(
    x: GpuBuffer,
    w: GpuWeight,
    bias: GpuWeight | null,
    rows: number,
    out: GpuBuffer,
    add: boolean,
    plan: LinearPlan = planLinear(this.#context, w, rows),
    offset = 0,
    total = w.rows,
  ): void {
    if (plan.kernel === "panels") {
      this.#panels.run(x, w, bias, rows, out, add, plan.shares, offset, total);
      return;
    }
    for (const { first, rows: outputs, words, scales } of w.chunks) {
      const params = {
        rows,
        cols: w.cols,
        stride: w.stride,
        outputs,
        first: offset + first,
        total,
        hasBias: bias ? 1 : 0,
        add: add ? 1 : 0,
      };
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

  /** As `run`, for a run of a stack. */
  runOf(
    stack: StackedWeight,
    { weight, first }: WeightRun,
    x: GpuBuffer,
    bias: GpuWeight | null,
    rows: number,
    out: GpuBuffer,
    add: boolean,
  ): void {
    const w = asGpuWeight(weight);
    const plan = planLinear(this.#context, w, rows, first, stack.rows);
    this.run(x, w, bias, rows, out, add, plan, first, stack.rows);
  }

  /** out[row] = table[token], tokens[tokenAt + row · tokenStride] */
  embed(tokens: GpuBuffer, tokenAt: number, tokenStride: number, rows: number, table: GpuWeight, out: GpuBuffer): void {
    for (const { first, rows: count, words, scales } of table.chunks) {
      const kernel = this.#embed(table.type);
      const { cols, stride } = table;
      const params = { rows, cols, stride, tokenAt, tokenStride, first, count };
      this.#commands.dispatch(kernel, params, [words, scales, tokens, out], rows);
    }
  }

  #rows(
    type: WeightType,
    tail: boolean,
    rows: number,
    { outputs, unroll }: { readonly outputs: number; readonly unroll: number },
  ): { kernel: Kernel<typeof linearParams>; lanes: number } {
    const { subgroupSize } = this.#context.features;
    const most = 2 ** Math.ceil(Math.log2(rows));
    // Lanes of a subgroup add up without workgroup memory.
    const subgroups = subgroupSize > 0 && subgroupSize <= ROW_THREADS;
    const lanes = subgroups ? subgroupSize : 32;
    const values = {
      SUBGROUPS: subgroups,
      TAIL: tail,
      LANES: lanes,
      OUTPUTS: outputs,
      UNROLL: unroll,
      THREADS: ROW_THREADS,
    };
    const kernel = this.#commands.kernel(`linear-rows ${type} ${most} ${JSON.stringify(values)}`, () => ({
      label: `linear ${type}, ${most} row${most > 1 ? "s" : ""}`,
      shader: shader("linear-rows", linearParams, values, {
        WEIGHT: readers(type, tail),
        ...rowsText({ rows: most, outputs, unroll }, subgroups),
      }),
      buffers: ACCESS,
    }));
    return { kernel, lanes };
  }

  #tiled(type: WeightType, tail: boolean, each: number): Kernel<typeof linearParams> {
    return this.#commands.kernel(`linear-tiled ${type} ${tail} ${each}`, () => ({
      label: `linear ${type}, tiles`,
      shader: shader("linear-tiled", linearParams, { TAIL: tail, EACH: each }, { WEIGHT: readers(type, tail) }),
      buffers: ACCESS,
    }));
  }

  #matrix(type: WeightType, tail: boolean, tile: MatrixTile, views: boolean): Kernel<typeof linearParams> {
    return this.#commands.kernel(`linear-matrix ${type} ${tail} ${views} ${JSON.stringify(tile)}`, () => ({
      label: `linear ${type}, matrix units`,
      shader: matrixShader(type, tail, tile, views),
      buffers: ACCESS,
    }));
  }

  #embed(type: WeightType): Kernel<typeof embedParams> {
    return this.#commands.kernel(`embed ${type}`, () => ({
      label: `embed ${type}`,
      shader: shader("embed", embedParams, {}, { WEIGHT: readers(type, true) }),
      buffers: ["read", "read", "read", "write"],
    }));
  }
}

/** The text of linear-matrix.wgsl for one tile; a test compiles it too. */
export function matrixShader(
  type: WeightType,
  tail: boolean,
  tile: MatrixTile,
  views: boolean,
): Shader<typeof linearParams> {
  const values = { ...matrixValues(tile), TAIL: tail, VIEWS: views, HALVES: wgslWeightFormat(type).isHalf };
  const inserts = { WEIGHT: readers(type, tail), ...matrixText(tile, views) };
  return shader("linear-matrix", linearParams, values, inserts);
}
