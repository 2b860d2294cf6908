/** @file Matrix products and embeddings: chooses a kernel by shape and dispatches it. */

import { assert } from "../../../errors.ts";
import { wgslWeightFormat } from "../../../weights/registry.ts";
import { outputWidthOf } from "../../head-product.ts";
import type { HeadProduct, Weight, WeightType } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { StackedWeight, type WeightRun } from "../../stacked-weight.ts";
import type { GpuContext } from "../device/context.ts";
import { KernelPlans } from "../plans/kernel-plans.ts";
import { rowClass } from "../plans/product-choice.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS, type PreparedDispatch } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type Shader, shader } from "../queue/shader-text.ts";
import { BatchKernels } from "./batch.ts";
import { MAX_BATCH_ROWS } from "./batch-plan.ts";
import { asGpuWeight, type GpuWeight, type WeightChunk } from "./gpu-weight.ts";
import { type LinearPlan, MAX_ROWS } from "./linear-plan.ts";
import { type MatrixTile, matrixText, matrixValues } from "./matrix-text.ts";
import { PanelKernels } from "./panels.ts";
import { buffersOf, type InputWork, linearFields, type Product, paramsOf } from "./product.ts";
import { rowsText } from "./rows-text.ts";
import { COLUMN, readers } from "./weight-text.ts";

/** Invocations of a workgroup of linear-rows.wgsl; outputs of a tile of linear-tiled.wgsl, whose 16 × 16 invocations have four each. */
const ROW_THREADS = 128;
const TILED_OUTPUTS = 64;
/** Invocations of a workgroup of multiply-heads.wgsl. */
const HEAD_THREADS = 64;

const linearParams = new Struct(linearFields);
const rowsParams = new Struct({ ...linearFields, eps: ["f32", "Of the norm of x, where it is taken here."] });

const embedParams = new Struct({
  rows: "u32",
  cols: ["u32", "Columns of the table; units of eight columns from a row to the next."],
  stride: "u32",
  tokenAt: ["u32", "Word of the first token, and words from a token to the next."],
  tokenStride: "u32",
  first: ["u32", "Rows of the table that are here: the first and their number. Other tokens leave their rows alone."],
  count: "u32",
  scale: "f32",
});

const headParams = new Struct({
  heads: "u32",
  cols: ["u32", "Columns of the matrix; units of eight columns from a row to the next."],
  stride: "u32",
  headRows: ["u32", "Rows of a head, the first of them that is multiplied, and their number."],
  first: "u32",
  count: "u32",
  inputWidth: ["u32", "Values of a head in x and in the result."],
  outputWidth: "u32",
});

const ACCESS = ["read", "read", "read", "read", "write"] as const;

/** How linear-rows.wgsl is made. */
interface RowsKernel {
  readonly outputs: number;
  readonly unroll: number;
  readonly normed: boolean;
  readonly gated: boolean;
}

/** A product whose dispatches have been looked up. */
interface Known {
  readonly product: Product;
  readonly dispatches: readonly PreparedDispatch[];
  /** The buffer between the dispatches, if there is one: when it has been replaced by a larger one they are void. */
  readonly panels: GpuBuffer | null;
}

/** Buffers of activations that a weight meets: those of steps of one row and of several, before and after they have grown. */
const MOST_KNOWN = 4;

const isSameWork = (a: InputWork | null, b: InputWork | null): boolean =>
  a?.kind === "norm" && b?.kind === "norm" ? a.weight === b.weight && a.eps === b.eps : a?.kind === b?.kind;

const isSame = (a: Product, b: Product): boolean =>
  a.x === b.x &&
  a.out === b.out &&
  a.bias === b.bias &&
  a.rows === b.rows &&
  a.add === b.add &&
  a.gated === b.gated &&
  isSameWork(a.work, b.work);

export class LinearKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #panels: PanelKernels;
  readonly #batches: BatchKernels;
  readonly #plans: KernelPlans;
  /** Whether products of a weight are those of batches, by the class of their rows, up to MAX_BATCH_ROWS. */
  readonly #batched = new WeakMap<GpuWeight, Map<number, boolean>>();
  /** Steps that decode repeat the same few products of a weight. */
  readonly #known = new WeakMap<GpuWeight, Known[]>();

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator, plans = new KernelPlans()) {
    this.#context = context;
    this.#commands = commands;
    this.#plans = plans;
    this.#panels = new PanelKernels(context, commands, allocator);
    this.#batches = new BatchKernels(commands, allocator);
  }

  /**
   * out[r] (+)= w · x[r] (+ bias) for r < rows. x: [rows][w.cols] · out: [rows][w.rows]
   *
   * On matrix units x and w are rounded to f16, and x is clamped to ±65504.
   *
   * work: done with x first (see `canTake`), null for x as it is · offset, total: of a run of a stack, the place of its outputs
   * in a row of `out` and the length of that row; `bias` is the stack's
   */
  run(
    x: GpuBuffer,
    w: GpuWeight,
    bias: GpuWeight | null,
    rows: number,
    out: GpuBuffer,
    add: boolean,
    work: InputWork | null = null,
    given?: LinearPlan,
    offset = 0,
    total = w.rows,
  ): void {
    const product = { x, work, out, bias, rows, add, gated: false, offset, total };
    if (!given && rows <= MAX_BATCH_ROWS && this.#runKnown(w, product)) return;
    const plan = given ?? this.#plans.product(this.#context, w, rows, { offset, total });
    if (plan.kernel === "rows" || plan.kernel === "batch") {
      const dispatches = this.#prepare(w, product, plan);
      if (!given) this.#remember(w, product, dispatches);
      for (const dispatch of dispatches) this.#commands.run(dispatch);
      return;
    }
    if (plan.kernel === "panels") {
      this.#panels.run(x, w, bias, rows, out, add, plan.shares, offset, total);
      return;
    }
    for (const chunk of w.chunks) {
      const outputs = chunk.rows;
      const params = paramsOf(w, chunk, product);
      const buffers = buffersOf(chunk, product, product.x);
      const tail = w.cols % 8 !== 0;
      if (plan.kernel === "tiled") {
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
    work: InputWork | null,
  ): void {
    this.run(x, asGpuWeight(weight), bias, rows, out, add, work, undefined, first, stack.rows);
  }

  /** out[r][i] = silu(w[i] · x[r]) · (w[half + i] · x[r]); see `canGate`. work: done with x first, null for x as it is */
  runGated(
    x: GpuBuffer,
    w: GpuWeight,
    rows: number,
    out: GpuBuffer,
    work: InputWork | null,
    given?: LinearPlan & { kernel: "rows" },
  ): void {
    const product = { x, work, out, bias: null, rows, add: false, gated: true, offset: 0, total: w.rows };
    if (!given && this.#runKnown(w, product)) return;
    const plan = given ?? this.#plans.product(this.#context, w, rows, { gated: true });
    assert(plan.kernel === "rows", "a product of pairs: expected a plan for few rows");
    const dispatches = this.#prepare(w, product, plan);
    if (!given) this.#remember(w, product, dispatches);
    for (const dispatch of dispatches) this.#commands.run(dispatch);
  }

  /**
   * Whether a product of so many rows can do this with its input first, instead of a dispatch before it. A CPU would norm the
   * input again for every output, and gains nothing by fewer dispatches.
   */
  canTake(w: Weight, rows: number, work: InputWork): boolean {
    if (this.#context.isSoftware) return false;
    const parts = w instanceof StackedWeight ? w.runs.map(({ weight }) => asGpuWeight(weight)) : [asGpuWeight(w)];
    // Kernels for few rows take a norm along, unless a weight is cut, so that each piece would take it again.
    const isFew = rows <= MAX_ROWS && work.kind === "norm" && (parts.length > 1 || parts[0]!.chunks.length === 1);
    return parts.every((part) => isFew || this.#isBatched(part, rows));
  }

  /** Whether `runGated` can make outputs of this weight. */
  canGate(w: Weight, rows: number): boolean {
    if (this.#context.isSoftware || rows > MAX_ROWS || w instanceof StackedWeight) return false;
    const weight = asGpuWeight(w);
    return weight.chunks.length === 1 && !this.#isBatched(weight, rows);
  }

  #isBatched(w: GpuWeight, rows: number): boolean {
    if (rows > MAX_BATCH_ROWS) return false;
    const ofWeight = this.#batched.get(w) ?? new Map<number, boolean>();
    // Numbers of rows of one class have one plan of the tuner. The rule's changes at its fewest rows, which may lie within a class of few rows.
    const key = rows <= MAX_ROWS ? rows : rowClass(rows);
    let known = ofWeight.get(key);
    if (known === undefined) {
      known = this.#plans.product(this.#context, w, rows).kernel === "batch";
      this.#batched.set(w, ofWeight.set(key, known));
    }
    return known;
  }

  /** returns: whether the product was known */
  #runKnown(w: GpuWeight, product: Product): boolean {
    const found = this.#known.get(w)?.find((other) => isSame(other.product, product));
    if (!found || (found.panels && found.panels !== this.#batches.panels)) return false;
    for (const dispatch of found.dispatches) this.#commands.run(dispatch);
    return true;
  }

  #remember(w: GpuWeight, product: Product, dispatches: readonly PreparedDispatch[]): void {
    const panels = dispatches.length > w.chunks.length ? this.#batches.panels : null;
    const others = (this.#known.get(w) ?? []).filter((other) => !isSame(other.product, product));
    this.#known.set(w, [...others.slice(1 - MOST_KNOWN), { product, dispatches, panels }]);
  }

  #prepare(w: GpuWeight, product: Product, plan: LinearPlan & { kernel: "rows" | "batch" }): PreparedDispatch[] {
    if (plan.kernel === "rows") return this.#fewRows(w, product, plan);
    return this.#batches.prepare(w, product, plan.tile);
  }

  /** out[row] (+)= scale · table[token], tokens[tokenAt + row · tokenStride] */
  embed(
    { tokens, tokenAt, tokenStride }: { tokens: GpuBuffer; tokenAt: number; tokenStride: number },
    rows: number,
    table: GpuWeight,
    out: GpuBuffer,
    scale: number,
    add = false,
  ): void {
    const { cols, stride, isColumn } = table;
    for (const { first, rows: count, words, scales } of table.chunks) {
      const kernel = this.#embed(table.type, isColumn, add);
      const params = { rows, cols, stride, tokenAt, tokenStride, first, count, scale };
      this.#commands.dispatch(kernel, params, [words, scales, tokens, out], rows);
    }
  }

  #fewRows(
    w: GpuWeight,
    product: Product,
    plan: { readonly outputs: number; readonly unroll: number },
  ): PreparedDispatch[] {
    const { rows, work, gated } = product;
    const norm = work?.kind === "norm" ? work : null;
    const { kernel, lanes } = this.#rows(w.type, w.cols % 8 !== 0, rows, { ...plan, normed: norm !== null, gated });
    return w.chunks.map((chunk) => {
      const params = { ...paramsOf(w, chunk, product), eps: norm?.eps ?? 0 };
      const buffers = [...buffersOf(chunk, product, product.x), ...(norm ? [norm.weight] : [])];
      const outputs = gated ? chunk.rows / 2 : chunk.rows;
      const groups = Math.ceil(outputs / ((ROW_THREADS / lanes) * plan.outputs));
      const down = Math.ceil(groups / MAX_GROUPS);
      return this.#commands.prepare(kernel, params, buffers, Math.ceil(groups / down), down);
    });
  }

  #rows(
    type: WeightType,
    tail: boolean,
    rows: number,
    { outputs, unroll, normed, gated }: RowsKernel,
  ): { kernel: Kernel<typeof rowsParams>; lanes: number } {
    const { subgroupSize } = this.#context.features;
    const most = 2 ** Math.ceil(Math.log2(rows));
    // Lanes of a subgroup add up without workgroup memory.
    const subgroups = subgroupSize > 0 && subgroupSize <= ROW_THREADS;
    const lanes = subgroups ? subgroupSize : 32;
    const key = `linear-rows ${type} ${tail} ${most} ${outputs} ${unroll} ${normed} ${gated}`;
    const kernel = this.#commands.kernel(key, () => {
      const text = rowsText({ rows: most, outputs, unroll, normed, gated }, subgroups);
      const values = {
        SUBGROUPS: subgroups,
        TAIL: tail,
        LANES: lanes,
        OUTPUTS: outputs,
        UNROLL: unroll,
        THREADS: ROW_THREADS,
        NORMED: normed,
        GATED: gated,
      };
      const what = gated ? "gated" : `${most} row${most > 1 ? "s" : ""}`;
      return {
        label: `linear ${type}, ${what}${normed ? ", normed" : ""}`,
        shader: shader("linear-rows", rowsParams, values, { WEIGHT: readers(type, tail), ...text }),
        buffers: normed ? ([...ACCESS, "read"] as const) : ACCESS,
      };
    });
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

  /** See `Ops.multiplyHeads`. */
  multiplyHeads(x: GpuBuffer, w: GpuWeight, product: HeadProduct, rows: number, out: GpuBuffer): void {
    const { numHeads, headRows, first, count, isTransposed, inputWidth } = product;
    assert(w.chunks.length === 1, "multiplyHeads: expected a matrix in one buffer");
    const [{ words, scales }] = w.chunks as [WeightChunk];
    const tail = w.cols % 8 !== 0;
    const label = `products of heads ${w.type}${isTransposed ? ", transposed" : ""}${tail ? ", no whole units" : ""}`;
    const kernel = this.#commands.kernel(label, () => ({
      label,
      shader: shader(
        "multiply-heads",
        headParams,
        { THREADS: HEAD_THREADS, TRANSPOSED: isTransposed, TAIL: tail },
        { WEIGHT: readers(w.type, true) },
      ),
      buffers: ["read", "read", "read", "write"],
    }));
    const params = {
      heads: numHeads,
      cols: w.cols,
      stride: w.stride,
      headRows,
      first,
      count,
      inputWidth,
      outputWidth: outputWidthOf(product, w.cols),
    };
    this.#commands.dispatch(kernel, params, [words, scales, x, out], numHeads, rows);
  }

  #embed(type: WeightType, isColumn: boolean, add: boolean): Kernel<typeof embedParams> {
    const label = `embed ${type}${isColumn ? ", one column" : ""}${add ? ", added" : ""}`;
    return this.#commands.kernel(label, () => ({
      label,
      shader: shader("embed", embedParams, { ADDS: add }, { WEIGHT: isColumn ? COLUMN : readers(type, true) }),
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
