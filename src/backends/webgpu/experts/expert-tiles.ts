/**
 * @file Products of many rows with the experts that they chose: pairs of a row and an expert in the order of experts, in tiles that share what is
 * read of an expert, on matrix units where the device has them.
 */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { ExpertHeads, Experts } from "../../experts.ts";
import { Struct } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import type { GpuWeight, WeightChunk } from "../linear/gpu-weight.ts";
import { canUseMatrices } from "../linear/linear-plan.ts";
import { type MatrixTile, matrixText, matrixValues } from "../linear/matrix-text.ts";
import { readers } from "../linear/weight-text.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";

const ORDER_THREADS = 256;
/** Outputs of a tile of expert-tiled.wgsl, and sixteenths of its rows: a few dozen rows choose an expert. */
const TILED_OUTPUTS = 64;
const TILED_EACH = 2;
const TILE = 16 * TILED_EACH;
/** Tiles on matrix units, by the rows that choose an expert on average. */
const MATRIX_TILES: readonly { readonly least: number; readonly tile: MatrixTile }[] = [
  { least: 24, tile: { rows: 64, outputs: 128, partRows: 32, partOutputs: 32 } },
  { least: 0, tile: { rows: 32, outputs: 64, partRows: 16, partOutputs: 32 } },
];

const orderParams = new Struct({
  pairs: "u32",
  pairsAt: ["u32", "Word of the first pair in `order`."],
});

/** What kernels are told of a weight of experts, or of a part of it. */
export const weightFields = {
  cols: ["u32", "Columns of x; units of eight columns from a row of the weight to the next."],
  stride: "u32",
  height: ["u32", "Rows of the weight that an expert has."],
  first: ["u32", "Experts whose weights are here: the first and their number."],
  experts: "u32",
  hasBias: "u32",
} as const;

const tiledFields = {
  ...weightFields,
  slots: ["u32", "Pairs that a row of x stands for."],
  pairsAt: ["u32", "Word of the first pair in `order`."],
} as const;

const tiledParams = new Struct(tiledFields);

const headFields = {
  headDim: ["u32", "Of HEADS: coordinates of a head, and where heads of all experts of a row lie."],
  headFirst: "u32",
  headStride: "u32",
} as const;

const tiledHeadParams = new Struct({ ...tiledFields, ...headFields });

/** Pairs of rows and experts in the order of experts. */
export interface OrderedPairs {
  readonly order: GpuBuffer;
  readonly routes: GpuBuffer;
  readonly tiles: number;
  /** Word of the first pair in `order`. */
  readonly pairsAt: number;
  /** The tile on matrix units; null for tiles of f32. */
  readonly matrix: MatrixTile | null;
  /** Pairs of a row. */
  readonly topK: number;
}

/** What tiles are multiplied by, and how. */
export interface ExpertProduct {
  /** Rows of an expert. */
  readonly height: number;
  /** Pairs that a row of x stands for. */
  readonly slots: number;
  readonly bias: GpuBuffer | null;
  /** Whether results are multiplied by the weights of the pairs. */
  readonly isWeighted: boolean;
  readonly heads?: ExpertHeads;
}

export class ExpertTiles {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  /** Grows to the longest step, which the warm-up meets. */
  #order: GpuBuffer | null = null;

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator) {
    this.#context = context;
    this.#commands = commands;
    this.#allocator = allocator;
  }

  /**
   * Brings the pairs of rows and experts into the order of their experts, in tiles that have one expert each. weights: that all tiles are
   * multiplied by, which may be done on matrix units; none where it may not
   */
  ordered(
    routes: GpuBuffer,
    of: Pick<Experts, "numExperts" | "topK">,
    rows: number,
    weights: readonly GpuWeight[],
  ): OrderedPairs {
    const matrix = weights.length > 0 ? this.#matrixTile(weights, of, rows) : null;
    const pairs = rows * of.topK;
    const ofTile = matrix?.rows ?? TILE;
    const tiles = Math.min(pairs, Math.ceil(pairs / ofTile) + of.numExperts);
    const pairsAt = 1 + 3 * tiles;
    const order = this.#room(4 * (pairsAt + pairs));
    this.#commands.dispatch(this.#sorter(of, ofTile), { pairs, pairsAt }, [routes, order], 1);
    return { order, routes, tiles, pairsAt, matrix, topK: of.topK };
  }

  /** out[pair] = the product of x with the matrix of the pair's expert. */
  multiply(x: GpuBuffer, w: GpuWeight, pairs: OrderedPairs, of: ExpertProduct, out: GpuBuffer): void {
    const { order, routes, tiles, pairsAt, matrix, topK } = pairs;
    const { height, slots, bias, isWeighted, heads } = of;
    if (matrix) {
      this.#onMatrices(x, w, pairs, of, matrix, out);
      return;
    }
    // Heads of an expert do not lie side by side, so that they are read one by one.
    const tail = w.cols % 8 !== 0 || (heads?.gathers ?? false);
    const values = {
      ...{ TAIL: tail, EACH: TILED_EACH, TOP_K: topK, WEIGHTED: isWeighted },
      HEADS: heads !== undefined,
      ...{ READS_HEADS: heads?.gathers ?? false, WRITES_HEADS: heads ? !heads.gathers : false },
    };
    const kernel = this.#commands.kernel(`expert-tiled ${w.type} ${JSON.stringify(values)}`, () => ({
      label: `experts ${w.type}, tiles${isWeighted ? ", weighted" : ""}${heads ? ", heads" : ""}`,
      shader: shader("expert-tiled", heads ? tiledHeadParams : tiledParams, values, { WEIGHT: readers(w.type, tail) }),
      buffers: ["read", "read", "read", "read", "read", "read", "write"],
    }));
    const ofHeads = heads && {
      headDim: heads.headDim,
      headFirst: heads.columns.first,
      headStride: heads.columns.stride,
    };
    for (const chunk of w.chunks) {
      const params = { ...weightOf(w, chunk, height, bias !== null), slots, pairsAt, ...ofHeads };
      const buffers = [chunk.words, chunk.scales, x, order, routes, bias ?? chunk.scales, out];
      this.#commands.dispatch(kernel, params, buffers, Math.ceil(height / TILED_OUTPUTS), tiles);
    }
  }

  #onMatrices(
    x: GpuBuffer,
    w: GpuWeight,
    { order, routes, tiles, pairsAt, topK }: OrderedPairs,
    { height, slots, bias, isWeighted }: ExpertProduct,
    matrix: MatrixTile,
    out: GpuBuffer,
  ): void {
    const tail = w.cols % 8 !== 0;
    const values = { TAIL: tail, TOP_K: topK, WEIGHTED: isWeighted, HALVES: wgslWeightFormat(w.type).isHalf };
    const all = { ...values, ...matrixValues(matrix) };
    const kernel = this.#commands.kernel(`expert-matrix ${w.type} ${JSON.stringify(all)}`, () => ({
      label: `experts ${w.type}, matrix units${isWeighted ? ", weighted" : ""}`,
      shader: shader("expert-matrix", tiledParams, all, {
        WEIGHT: readers(w.type, tail),
        ...matrixText(matrix, false),
      }),
      buffers: ["read", "read", "read", "read", "read", "read", "write"],
    }));
    for (const chunk of w.chunks) {
      const params = { ...weightOf(w, chunk, height, bias !== null), slots, pairsAt };
      const buffers = [chunk.words, chunk.scales, x, order, routes, bias ?? chunk.scales, out];
      this.#commands.dispatch(kernel, params, buffers, Math.ceil(height / matrix.outputs), tiles);
    }
  }

  /** Null where the device has no matrix units, or a weight does not fit f16. */
  #matrixTile(
    weights: readonly GpuWeight[],
    { numExperts, topK }: Pick<Experts, "numExperts" | "topK">,
    rows: number,
  ): MatrixTile | null {
    const perExpert = (rows * topK) / numExperts;
    const { tile } = MATRIX_TILES.find(({ least }) => perExpert >= least)!;
    return weights.every((weight) => canUseMatrices(this.#context, weight, tile)) ? tile : null;
  }

  /** What is queued and uses a smaller buffer keeps it. */
  #room(numBytes: number): GpuBuffer {
    if (this.#order && this.#order.numBytes >= numBytes) return this.#order;
    if (this.#order) this.#allocator.free(this.#order);
    this.#order = this.#allocator.allocate(numBytes, "order of experts");
    return this.#order;
  }

  #sorter({ numExperts, topK }: Pick<Experts, "numExperts" | "topK">, tile: number): Kernel<typeof orderParams> {
    const values = { THREADS: ORDER_THREADS, EXPERTS: numExperts, TOP_K: topK, TILE: tile };
    return this.#commands.kernel(`expert-order ${numExperts} ${topK} ${tile}`, () => ({
      label: "order of experts",
      shader: shader("expert-order", orderParams, values),
      buffers: ["read", "write"],
    }));
  }
}

/** The values of `weightFields`. height: rows of an expert */
export const weightOf = (w: GpuWeight, chunk: WeightChunk, height: number, hasBias: boolean) => ({
  cols: w.cols,
  stride: w.stride,
  height,
  first: chunk.first / height,
  experts: chunk.rows / height,
  hasBias: hasBias ? 1 : 0,
});
