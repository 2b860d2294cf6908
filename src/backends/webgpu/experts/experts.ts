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
import { asGpuWeight, type WeightChunk } from "../linear/gpu-weight.ts";
import { MAX_ROWS } from "../linear/linear-plan.ts";
import { readers } from "../linear/weight-text.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS, type PreparedDispatch } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { ExpertTiles, weightFields, weightOf } from "./expert-tiles.ts";
import { RepeatedDispatches } from "./repeated-dispatches.ts";

const MIX_THREADS = 256;
/** Invocations of a workgroup of expert-rows.wgsl. */
const ROW_THREADS = 128;

const rowsParams = new Struct({
  ...weightFields,
  outputs: ["u32", "Of a row of `out`."],
  add: "u32",
  ...clampFields,
});

const passParams = new Struct({
  width: ["u32", "Of a row of x and of out, and of all rows."],
  length: "u32",
});

const mixParams = new Struct({
  width: ["u32", "Of a row of `out`, and of all rows."],
  length: "u32",
  add: "u32",
});

export class ExpertKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #tiles: ExpertTiles;
  readonly #elementwise: ElementwiseKernels;
  readonly #repeated: RepeatedDispatches<Experts>;

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator, elementwise: ElementwiseKernels) {
    this.#context = context;
    this.#commands = commands;
    this.#tiles = new ExpertTiles(context, commands, allocator);
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
    const ordered = this.#tiles.ordered(routes, heads, rows, []);
    const bias = heads.bias && asGpuWeight(heads.bias).buffer;
    const of = { height, slots: gathers ? 1 : topK, bias, isWeighted: false, heads };
    this.#tiles.multiply(x, weight, ordered, of, gathers ? output : out);
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
    const ordered = this.#tiles.ordered(routes, experts, rows, [gateUp, down]);
    const bias = experts.gateUpBias && asGpuWeight(experts.gateUpBias).buffer;
    const height = hiddenOf(experts);
    const ofHidden = { height, slots: topK, bias, isWeighted: scalesInput };
    this.#tiles.multiply(x, gateUp, ordered, ofHidden, scratch.hidden);
    this.#elementwise.activate(scratch.hidden, { ...activation, alphas: null }, count, width, activated);
    const outputs = down.rows / numExperts;
    const downBias = experts.downBias && asGpuWeight(experts.downBias).buffer;
    const ofDown = { height: outputs, slots: 1, bias: downBias, isWeighted: false };
    this.#tiles.multiply(activated, down, ordered, ofDown, scratch.output);
    this.#mix(scratch.output, routes, experts, rows, outputs, !scalesInput, out, add);
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
