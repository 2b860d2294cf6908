/**
 * @file What experts compute. Experts stay on the device: kernels read which ones were chosen.
 *
 * For a few rows each expert of a row is a product of its own. Many rows are first brought into the order of their experts, so that
 * tiles of them share what is read of an expert.
 */
import { type ExpertHeads, type Experts, hiddenOf } from "../../experts.ts";
import type { WeightType } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import { actValues, clampFields, clampOf, type ElementwiseKernels } from "../elementwise/elementwise.ts";
import { asGpuWeight, type GpuWeight, type WeightChunk } from "../linear/gpu-weight.ts";
import { MAX_ROWS } from "../linear/linear-plan.ts";
import { readers } from "../linear/weight-text.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS, type PreparedDispatch } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { RepeatedDispatches } from "./repeated-dispatches.ts";

const ORDER_THREADS = 256;
const MIX_THREADS = 256;
/** Invocations of a workgroup of expert-rows.wgsl. */
const ROW_THREADS = 128;
/** Outputs of a tile of expert-tiled.wgsl, and sixteenths of its rows: a few dozen rows choose an expert. */
const TILED_OUTPUTS = 64;
const TILED_EACH = 2;
const TILE = 16 * TILED_EACH;

const orderParams = new Struct({
  pairs: "u32",
  pairsAt: ["u32", "Word of the first pair in `order`."],
});

const weightFields = {
  cols: ["u32", "Columns of x; units of eight columns from a row of the weight to the next."],
  stride: "u32",
  height: ["u32", "Rows of the weight that an expert has."],
  first: ["u32", "Experts whose weights are here: the first and their number."],
  experts: "u32",
  hasBias: "u32",
} as const;

const rowsParams = new Struct({
  ...weightFields,
  outputs: ["u32", "Of a row of `out`."],
  add: "u32",
  ...clampFields,
});

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

const passParams = new Struct({
  width: ["u32", "Of a row of x and of out, and of all rows."],
  length: "u32",
});

const mixParams = new Struct({
  width: ["u32", "Of a row of `out`, and of all rows."],
  length: "u32",
  add: "u32",
});

/** Pairs of rows and experts in the order of experts. */
interface OrderedPairs {
  readonly order: GpuBuffer;
  readonly routes: GpuBuffer;
  readonly tiles: number;
  /** Word of the first pair in `order`. */
  readonly pairsAt: number;
}

export class ExpertKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #elementwise: ElementwiseKernels;
  readonly #repeated: RepeatedDispatches<Experts>;
  /** Grows to the longest step, which the warm-up meets. */
  #order: GpuBuffer | null = null;

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator, elementwise: ElementwiseKernels) {
    this.#context = context;
    this.#commands = commands;
    this.#allocator = allocator;
    this.#elementwise = elementwise;
    this.#repeated = new RepeatedDispatches(commands);
  }

  /** See `Ops.experts`. */
  run(
    x: GpuBuffer,
    routes: GpuBuffer,
    experts: Experts,
    rows: number,
    scratch: { readonly hidden: GpuBuffer; readonly activated: GpuBuffer; readonly output: GpuBuffer },
    out: GpuBuffer,
    add: boolean,
  ): void {
    const { activated } = scratch;
    if (rows <= MAX_ROWS) {
      this.#repeated.run(experts, { rows, add }, [x, routes, activated, out], () =>
        this.#fewRows(x, routes, experts, rows, activated, out, add),
      );
    } else this.#manyRows(x, routes, experts, rows, scratch, out, add);
    if (experts.hasIdentities) this.#pass(x, routes, experts, rows, out);
  }

  /** See `Ops.multiplyExperts`. Its rows are always taken in tiles of an expert: few models have it. */
  multiplyHeads(
    x: GpuBuffer,
    routes: GpuBuffer,
    heads: ExpertHeads,
    rows: number,
    output: GpuBuffer,
    out: GpuBuffer,
    add: boolean,
  ): void {
    const { numExperts, topK, gathers } = heads;
    const weight = asGpuWeight(heads.weight);
    const height = weight.rows / numExperts;
    const ordered = this.#ordered(routes, heads, rows);
    const bias = heads.bias && asGpuWeight(heads.bias).buffer;
    const of = { ...ordered, height, slots: gathers ? 1 : topK, bias, isWeighted: false, heads };
    this.#tiled(x, weight, heads, of, gathers ? output : out);
    if (gathers) this.#mix(output, routes, { topK, numExperts }, rows, height, true, out, add);
  }

  #manyRows(
    x: GpuBuffer,
    routes: GpuBuffer,
    experts: Experts,
    rows: number,
    scratch: { readonly hidden: GpuBuffer; readonly activated: GpuBuffer; readonly output: GpuBuffer },
    out: GpuBuffer,
    add: boolean,
  ): void {
    const { activated } = scratch;
    const { topK, width, scalesInput, activation, numExperts } = experts;
    const count = rows * topK;
    const [gateUp, down] = [asGpuWeight(experts.gateUp), asGpuWeight(experts.down)];
    const tiled = this.#ordered(routes, experts, rows);
    const bias = experts.gateUpBias && asGpuWeight(experts.gateUpBias).buffer;
    const height = hiddenOf(experts);
    this.#tiled(x, gateUp, experts, { ...tiled, height, slots: topK, bias, isWeighted: scalesInput }, scratch.hidden);
    this.#elementwise.activate(scratch.hidden, { ...activation, alphas: null }, count, width, activated);
    const outputs = down.rows / numExperts;
    const downBias = experts.downBias && asGpuWeight(experts.downBias).buffer;
    const ofDown = { ...tiled, height: outputs, slots: 1, bias: downBias, isWeighted: false };
    this.#tiled(activated, down, experts, ofDown, scratch.output);
    this.#mix(scratch.output, routes, experts, rows, outputs, !scalesInput, out, add);
  }

  /** Brings the pairs of rows and experts into the order of their experts, in tiles that have one expert each. */
  #ordered(routes: GpuBuffer, of: Pick<Experts, "numExperts" | "topK">, rows: number): OrderedPairs {
    const pairs = rows * of.topK;
    const tiles = Math.min(pairs, Math.ceil(pairs / TILE) + of.numExperts);
    const pairsAt = 1 + 3 * tiles;
    const order = this.#room(4 * (pairsAt + pairs));
    this.#commands.dispatch(this.#sorter(of), { pairs, pairsAt }, [routes, order], 1);
    return { order, routes, tiles, pairsAt };
  }

  #mix(
    parts: GpuBuffer,
    routes: GpuBuffer,
    of: Pick<Experts, "topK" | "numExperts" | "hasIdentities">,
    rows: number,
    width: number,
    isWeighted: boolean,
    out: GpuBuffer,
    add: boolean,
  ): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / MIX_THREADS));
    const params = { width, length, add: add ? 1 : 0 };
    this.#commands.dispatch(this.#mixer(of, isWeighted), params, [parts, routes, out], groups);
  }

  /** Adds what experts give that give what they read. */
  #pass(x: GpuBuffer, routes: GpuBuffer, { topK, numExperts, gateUp }: Experts, rows: number, out: GpuBuffer): void {
    const width = gateUp.cols;
    const length = rows * width;
    const kernel = this.#commands.kernel(`expert-pass ${numExperts} ${topK}`, () => ({
      label: "experts that give what they read",
      shader: shader("expert-pass", passParams, { THREADS: MIX_THREADS, TOP_K: topK, EXPERTS: numExperts }),
      buffers: ["read", "read", "write"],
    }));
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / MIX_THREADS));
    this.#commands.dispatch(kernel, { width, length }, [x, routes, out], groups);
  }

  #fewRows(
    x: GpuBuffer,
    routes: GpuBuffer,
    experts: Experts,
    rows: number,
    activated: GpuBuffer,
    out: GpuBuffer,
    add: boolean,
  ): PreparedDispatch[] {
    const { width, topK, numExperts } = experts;
    const [gateUp, down] = [asGpuWeight(experts.gateUp), asGpuWeight(experts.down)];
    const outputs = down.rows / numExperts;
    const height = hiddenOf(experts);
    const limits = clampOf(experts.activation);
    const dispatch = (isHidden: boolean, chunk: WeightChunk, n: number): PreparedDispatch => {
      const [w, rowsOfExpert, results] = isHidden ? [gateUp, height, width] : [down, outputs, outputs];
      const { kernel, lanes } = this.#few(w.type, w.cols % 8 !== 0, isHidden, experts);
      const biases = isHidden ? experts.gateUpBias : experts.downBias;
      // Every buffer of a weight adds what its experts give.
      const adds = !isHidden && (add || n > 0);
      const params = {
        ...weightOf(w, chunk, rowsOfExpert, biases !== null),
        outputs: results,
        add: adds ? 1 : 0,
        ...limits,
      };
      const bias = biases ? asGpuWeight(biases).buffer : chunk.scales;
      const ends = isHidden ? [x, routes, bias, activated] : [activated, routes, bias, out];
      const groups = Math.ceil(results / (ROW_THREADS / lanes));
      const buffers = [chunk.words, chunk.scales, ...ends];
      return this.#commands.prepare(kernel, params, buffers, groups, isHidden ? rows * topK : rows);
    };
    return [
      ...gateUp.chunks.map((chunk, n) => dispatch(true, chunk, n)),
      ...down.chunks.map((chunk, n) => dispatch(false, chunk, n)),
    ];
  }

  #tiled(
    x: GpuBuffer,
    w: GpuWeight,
    { topK }: Pick<Experts, "topK">,
    of: OrderedPairs & {
      readonly heads?: ExpertHeads;
      readonly height: number;
      readonly slots: number;
      readonly bias: GpuBuffer | null;
      readonly isWeighted: boolean;
    },
    out: GpuBuffer,
  ): void {
    const { order, routes, tiles, pairsAt, height, slots, bias, isWeighted, heads } = of;
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

  /** What is queued and uses a smaller buffer keeps it. */
  #room(numBytes: number): GpuBuffer {
    if (this.#order && this.#order.numBytes >= numBytes) return this.#order;
    if (this.#order) this.#allocator.free(this.#order);
    this.#order = this.#allocator.allocate(numBytes, "order of experts");
    return this.#order;
  }

  #sorter({ numExperts, topK }: Pick<Experts, "numExperts" | "topK">): Kernel<typeof orderParams> {
    return this.#commands.kernel(`expert-order ${numExperts} ${topK}`, () => ({
      label: "order of experts",
      shader: shader("expert-order", orderParams, { THREADS: ORDER_THREADS, EXPERTS: numExperts, TOP_K: topK, TILE }),
      buffers: ["read", "write"],
    }));
  }

  #mixer(
    { topK, numExperts, hasIdentities = false }: Pick<Experts, "topK" | "numExperts" | "hasIdentities">,
    isWeighted: boolean,
  ): Kernel<typeof mixParams> {
    const values = {
      ...{ THREADS: MIX_THREADS, TOP_K: topK, WEIGHTED: isWeighted },
      ...{ IDENTITIES: hasIdentities, EXPERTS: hasIdentities ? numExperts : 0 },
    };
    return this.#commands.kernel(`expert-mix ${JSON.stringify(values)}`, () => ({
      label: "sum of experts",
      shader: shader("expert-mix", mixParams, values),
      buffers: ["read", "read", "write"],
    }));
  }

  #few(
    type: WeightType,
    tail: boolean,
    isHidden: boolean,
    { topK, activation, scalesInput }: Experts,
  ): { readonly kernel: Kernel<typeof rowsParams>; readonly lanes: number } {
    const { subgroupSize } = this.#context.features;
    // Lanes of a subgroup add up without workgroup memory.
    const subgroups = subgroupSize > 0 && subgroupSize <= ROW_THREADS;
    const lanes = subgroups ? subgroupSize : 32;
    const values = {
      SUBGROUPS: subgroups,
      TAIL: tail,
      LANES: lanes,
      THREADS: ROW_THREADS,
      TOP_K: topK,
      HIDDEN: isHidden,
      INPUT_SCALED: scalesInput,
      ...actValues(activation),
    };
    const kernel = this.#commands.kernel(`expert-rows ${type} ${JSON.stringify(values)}`, () => ({
      label: `experts ${type}, ${isHidden ? "hidden" : "down"}`,
      shader: shader("expert-rows", rowsParams, values, { WEIGHT: readers(type, tail) }),
      buffers: ["read", "read", "read", "read", "read", "write"],
    }));
    return { kernel, lanes };
  }
}

/** What kernels are told of a weight of experts, or of a part of it. height: rows of an expert */
const weightOf = (w: GpuWeight, chunk: WeightChunk, height: number, hasBias: boolean) => ({
  cols: w.cols,
  stride: w.stride,
  height,
  first: chunk.first / height,
  experts: chunk.rows / height,
  hasBias: hasBias ? 1 : 0,
});
