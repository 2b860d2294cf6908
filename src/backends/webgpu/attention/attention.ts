/**
 * @file Attention of a step: tokens that are decoded one by one, spans in tiles, and the merge that joins the parts of a head,
 * divides by the sum of weights and undoes V's rotation.
 */
import type { LayerCache } from "../../../cache/layer-cache.ts";
import { mainGroup, residualGroup } from "../../../cache/states/kv-state.ts";
import { assert, TurboQuantError } from "../../../errors.ts";
import { isRotated } from "../../../quant/page-layout.ts";
import type { LayerCopies } from "../../../quant/prepared-layer.ts";
import { ABILITIES } from "../../capabilities.ts";
import { DECODE_TOKENS } from "../../decode-tokens.ts";
import type { AttentionLayer, Span, Step } from "../../ops.ts";
import { Struct, type ValuesOf } from "../../parameters/struct.ts";
import { SharedTables } from "../../shared-tables.ts";
import { byColumns, rotationValues } from "../append/append-constants.ts";
import { ChosenAttention, type ChosenOnDevice, type ChosenRows } from "../chosen/attend-chosen.ts";
import { hadamardText, shuffleBits } from "../codec/hadamard-text.ts";
import { KernelPlans, type LayerPlans } from "../plans/kernel-plans.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import type { GpuPageStorage } from "../queue/page-storage.ts";
import { floatText, shader } from "../queue/shader-text.ts";
import type { StepBuffer } from "../queue/step-buffer.ts";
import { SPAN_WORDS } from "../queue/step-records.ts";
import type { CentroidTables } from "./centroid-tables.ts";
import {
  attendDecode,
  type DecodeKernels,
  type DecodeOptions,
  type DecodeTuning,
  decodeKernels,
  planDecode,
} from "./decode-attention.ts";
import { mostSplits } from "./decode-splits.ts";
import { attendPrefill } from "./prefill-attention.ts";
import { canUseMatrixRows, prefillKernel } from "./prefill-kernels.ts";
import { MATRIX_ROWS } from "./prefill-plan.ts";

/** Invocations of a workgroup of attend-merge.wgsl, each of which looks at a split. */
const MERGE_THREADS = 256;

const mergeParams = new Struct({
  splits: ["u32", "Parts of a row's head."],
  listAt: ["u32", "Word of the list of rows in `step`, if it is used; else rows follow the first."],
  useList: "u32",
  firstRow: "u32",
});

/** Kernels for single tokens with some settings. */
interface DecodeVariant {
  readonly options: DecodeOptions;
  readonly kernels: DecodeKernels;
}

/** Attention to the codes of one width: those that tokens get first with sinks and window, or those of a coarser tier. */
interface Pass {
  readonly options: DecodeOptions;
  /** Whether spans are attended on matrix units. */
  readonly onMatrices: boolean;
  /** What the tuner has found for it; null in tiers, which have plans by rule. */
  readonly plans: LayerPlans | null;
  /** Made when they are first asked for; those of `plans` at once, for the warm-up. */
  readonly decode: Map<DecodeTuning, DecodeVariant>;
  readonly centroids: GpuBuffer;
}

/** What is made once for each layer. */
interface Prepared extends LayerCopies {
  /** The finest first. Their parts are merged as those of one are. */
  readonly passes: readonly [Pass, ...Pass[]];
  readonly merge: Kernel<typeof mergeParams>;
  readonly sinkLogits: GpuBuffer | null;
  readonly rotation: GpuBuffer;
}

export class AttentionKernels {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;
  readonly #plans: KernelPlans;
  readonly #rotations = new SharedTables<GpuBuffer>((buffer) => this.#allocator.free(buffer));
  readonly #centroids: CentroidTables;
  readonly #chosen: ChosenAttention;
  #parts: GpuBuffer;
  #stats: GpuBuffer;

  constructor(
    commands: Commands,
    allocator: BufferAllocator,
    storage: GpuPageStorage,
    steps: StepBuffer,
    centroids: CentroidTables,
    plans = new KernelPlans(),
  ) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#steps = steps;
    this.#centroids = centroids;
    this.#chosen = new ChosenAttention(commands);
    this.#plans = plans;
    this.#parts = allocator.allocate(16, "attention parts");
    this.#stats = allocator.allocate(16, "attention sums");
  }

  /** out[row] = attention of q[row] over its sequence up to its own position, or over chosen tokens, un-rotated. sinkLogits: the layer's, [numHeads] */
  run(
    step: Step,
    layer: AttentionLayer,
    sinkLogits: GpuBuffer | null,
    q: GpuBuffer,
    out: GpuBuffer,
    chosen: ChosenOnDevice | null,
  ): void {
    const { index, numHeads, cache } = layer;
    const prepared = layer.kv.copies(this, () => this.#prepare(layer, cache, sinkLogits));
    const at = this.#steps.layout;
    const { isWarmingUp } = this.#commands;
    if (chosen && cache.tiers.length > 0) {
      throw new TurboQuantError(
        "unsupported",
        `the webgpu backend has no kernel for ${ABILITIES.choosesInTiers}; choose codes of one width, as in --kv k4v4, or --backend wasm`,
      );
    }
    // Rows whose list has room for all their tokens attend to them without it.
    const isListed = (tokens: number): boolean => chosen !== null && tokens > chosen.count;
    const hasList = ({ start, count }: Span): boolean => chosen !== null && (isWarmingUp || isListed(start + count));
    const longSpans = step.spans.filter(({ count }) => count > DECODE_TOKENS);
    const planned = longSpans
      .filter((span) => isWarmingUp || !hasList(span))
      .map((span) => this.#planSpan(prepared, span));
    // Room for the largest at once: a buffer that is replaced stays as long as what is queued uses it.
    this.#reserve(layer, Math.max(0, ...planned.map(({ span, allParts }) => span.count * allParts)));
    if (at.decodeRows > 0) {
      if (isWarmingUp || !isListed(at.longestDecode)) this.#decode(prepared, step, q, out);
      if (chosen && (isWarmingUp || isListed(at.longestDecode))) {
        const own = { listAt: at.decodeRowsAt, useList: 1, firstRow: 0, rows: at.decodeRows };
        this.#attendChosen(prepared, chosen, own, q, out);
      }
    }
    for (const span of longSpans.filter(hasList)) {
      const own = { listAt: 0, useList: 0, firstRow: span.row, rows: span.count };
      this.#attendChosen(prepared, chosen!, own, q, out);
    }
    for (const { span, passes, allParts } of planned) {
      let firstPart = 0;
      for (const { pass, plan } of passes) {
        const { options } = pass;
        const record = this.#steps.spansOf(index, options.tier) + step.spans.indexOf(span) * SPAN_WORDS;
        attendPrefill(this.#commands, options, plan, span, record, this.#buffers(pass, q), { firstPart, allParts });
        firstPart += plan.splits;
      }
      const which = { splits: allParts, listAt: 0, useList: 0, firstRow: span.row };
      this.#merge(prepared, which, numHeads, span.count, out);
    }
  }

  /** How a long span is cut, in each pass that it needs. */
  #planSpan(prepared: Prepared, span: Span) {
    const passes = this.#passesOf(prepared, [span]).map((pass) => ({
      pass,
      plan: this.#plans.prefill(pass.plans, pass.options.layer, span, pass.onMatrices),
    }));
    return { span, passes, allParts: passes.reduce((sum, { plan }) => sum + plan.splits, 0) };
  }

  /** The passes that spans need: no page may have reached the coarser tiers yet. */
  #passesOf({ passes }: Prepared, spans: Step["spans"]): readonly Pass[] {
    if (passes.length === 1 || this.#commands.isWarmingUp) return passes;
    return passes.filter(({ options: { layer, tier = 0 } }) =>
      spans.some(
        ({ sequence, start, count }) => tier === 0 || sequence.kv(layer.index).tierPages(tier - 1, start + count) > 0,
      ),
    );
  }

  #decode(prepared: Prepared, step: Step, q: GpuBuffer, out: GpuBuffer): void {
    const at = this.#steps.layout;
    const { layer } = prepared.passes[0].options;
    const { context } = this.#commands;
    const all = prepared.passes.length;
    const variants = prepared.passes.map((pass) =>
      this.#variant(pass, this.#plans.decode(pass.plans, layer, at.longestDecode, at.decodeRows)),
    );
    const own = [...prepared.passes[0].decode.values()];
    const extra = Math.max(...own.map(({ kernels }) => kernels.alone.at(-1)!.copySplits));
    const mostParts = Math.floor((MERGE_THREADS - extra) / all);
    // Room for a longer context at once: a token that is decoded allocates nothing.
    const most = Math.min(
      mostParts,
      Math.max(...own.map(({ options }) => mostSplits(context.isSoftware, options, at.decodeRows))),
    );
    this.#reserve(layer, at.decodeRows * (all * most + extra));
    const spans = all === 1 ? step.spans : step.spans.filter(({ count }) => count <= DECODE_TOKENS);
    const passes = this.#passesOf(prepared, spans).map((pass) => {
      const { options, kernels } = variants[prepared.passes.indexOf(pass)]!;
      return { pass, plan: planDecode(context, options, kernels, at.longestDecode, at.decodeRows, mostParts) };
    });
    const allParts = passes.reduce((sum, { plan }) => sum + plan.splits + plan.kernel.copySplits, 0);
    let firstPart = 0;
    for (const { pass, plan } of passes) {
      const spansAt = this.#steps.spansOf(layer.index, pass.options.tier);
      const where = { listAt: at.decodeRowsAt, rowsAt: at.rowsAt, spansAt, rows: at.decodeRows };
      attendDecode(this.#commands, pass.options, plan, where, this.#buffers(pass, q), { firstPart, allParts });
      firstPart += plan.splits + plan.kernel.copySplits;
    }
    const which = { splits: allParts, listAt: at.decodeRowsAt, useList: 1, firstRow: 0 };
    this.#merge(prepared, which, layer.numHeads, at.decodeRows, out);
  }

  #variant({ options, decode }: Pick<Pass, "options" | "decode">, tuning: DecodeTuning): DecodeVariant {
    let found = decode.get(tuning);
    if (!found) {
      const own = { ...options, tuning };
      found = { options: own, kernels: decodeKernels(this.#commands, own) };
      decode.set(tuning, found);
    }
    return found;
  }

  /** Whether spans of this layer go to matrix units. */
  isOnMatrices(layer: AttentionLayer): boolean {
    return layer.kv.copies(this, () => this.#prepare(layer, layer.cache, null)).passes[0].onMatrices;
  }

  #attendChosen(
    prepared: Prepared,
    chosen: ChosenOnDevice,
    own: Pick<ChosenRows, "listAt" | "useList" | "firstRow" | "rows">,
    q: GpuBuffer,
    out: GpuBuffer,
  ): void {
    const [pass] = prepared.passes;
    const { options } = pass;
    const { layer } = options;
    const { rowsAt } = this.#steps.layout;
    const splits = this.#chosen.splitsOf(options, chosen, own.rows);
    this.#reserve(layer, own.rows * splits);
    const at = { ...own, rowsAt, spansAt: this.#steps.spansOf(layer.index) };
    this.#chosen.run(options, chosen, at, splits, this.#buffers(pass, q));
    const { listAt, useList, firstRow } = own;
    this.#merge(prepared, { splits, listAt, useList, firstRow }, layer.numHeads, own.rows, out);
  }

  #merge(
    { merge, rotation, sinkLogits }: Prepared,
    which: ValuesOf<typeof mergeParams>,
    heads: number,
    rows: number,
    out: GpuBuffer,
  ): void {
    assert(
      which.splits <= MERGE_THREADS,
      `attention: ${which.splits} parts of a head, expected at most ${MERGE_THREADS}`,
    );
    const buffers = [this.#steps.buffer, this.#parts, this.#stats, rotation, out];
    this.#commands.dispatch(merge, which, sinkLogits ? [...buffers, sinkLogits] : buffers, heads, rows);
  }

  #buffers({ options, centroids }: Pass, q: GpuBuffer) {
    const { layer, cache } = options;
    return {
      step: this.#steps.buffer,
      pages: this.#storage.bufferOf(mainGroup(layer.index), cache.main.numBytes),
      residualPages: this.#storage.bufferOf(residualGroup(layer.index), cache.residual?.layout.numBytes ?? 0),
      centroids,
      q,
      parts: this.#parts,
      stats: this.#stats,
    };
  }

  /** Room for so many parts of all heads. */
  #reserve({ numHeads, valueDim }: AttentionLayer, parts: number): void {
    this.#parts = this.#room(this.#parts, parts * numHeads * valueDim * 4);
    this.#stats = this.#room(this.#stats, parts * numHeads * 2 * 4);
  }

  #room(buffer: GpuBuffer, numBytes: number): GpuBuffer {
    if (buffer.numBytes >= numBytes) return buffer;
    this.#allocator.free(buffer);
    return this.#allocator.allocate(numBytes, "attention parts");
  }

  /** A buffer of its own with these values. */
  #upload(values: ArrayLike<number>, what: string): GpuBuffer {
    const data = Float32Array.from(values);
    const buffer = this.#allocator.allocate(data.byteLength, what);
    this.#commands.write(buffer, 0, data);
    return buffer;
  }

  #prepare(layer: AttentionLayer, cache: LayerCache, sinkLogits: GpuBuffer | null): Prepared {
    const { valueDim, numHeads } = layer;
    const { format, transforms } = layer.kv;
    const parts = [cache, ...cache.tiers.map(({ layout }) => ({ main: layout, residual: null }))];
    const tables = parts.map((_, tier) => this.#centroids.take(layer, tier));
    const passes = parts.map((own, tier): Pass => {
      const { at, buffer } = tables[tier]!;
      const options = { layer, cache: own, tier, ...at };
      const onMatrices = canUseMatrixRows(this.#commands.context, options);
      const plans = cache.tiers.length === 0 ? this.#plans.ofLayer(layer) : null;
      const decode = new Map<DecodeTuning, DecodeVariant>();
      const tunings = [...(plans?.decode.values() ?? [])].flatMap((byRows) => [...byRows.values()]);
      for (const tuning of [this.#plans.decode(null, layer, 1, 1), ...tunings])
        this.#variant({ options, decode }, tuning);
      for (const byRows of plans?.prefill.values() ?? []) {
        for (const { rows } of byRows.values()) {
          if ((rows === MATRIX_ROWS) === onMatrices) prefillKernel(this.#commands, options, rows);
        }
      }
      return {
        options,
        onMatrices,
        plans,
        decode,
        centroids: buffer,
      };
    });
    const rotated = isRotated(format.v, format);
    const rotation = rotated ? rotationValues(format, valueDim) : { values: [], size: 1, rounds: 0 };
    const { inverse } = transforms.v;
    const { subgroupSize } = this.#commands.context.features;
    const bits = rotation.rounds > 0 ? shuffleBits(rotation.size, MERGE_THREADS, subgroupSize) : 0;
    const mergeValues = {
      VALUE_DIM: valueDim,
      NUM_HEADS: numHeads,
      GROUP: numHeads / layer.numKvHeads,
      DENSE: inverse !== null,
      QR: rotated && format.rotation === "qr",
      ROTATION_SIZE: rotation.size,
      ROTATION_ROUNDS: rotation.rounds,
      SHUFFLE_BITS: bits,
      THREADS: MERGE_THREADS,
      SINK_LOGITS: sinkLogits !== null,
      SCALES_VALUES: layer.valueScale !== 1,
    };
    const mergeInserts = {
      HADAMARD: hadamardText(rotation.size, bits),
      VALUE_SCALE: `const VALUE_SCALE = ${floatText(layer.valueScale)};`,
    };
    const rotationKey = rotated ? `rotation ${format.rotation} ${valueDim} ${format.seed}` : "no rotation";
    const own = inverse && this.#upload(byColumns(inverse, valueDim), "inverse value transforms");
    return {
      passes: passes as [Pass, ...Pass[]],
      merge: this.#commands.kernel(`attend-merge ${JSON.stringify(mergeValues)} ${layer.valueScale}`, () => ({
        label: "attention merge",
        shader: shader("attend-merge", mergeParams, mergeValues, mergeInserts),
        buffers: ["read", "read", "read", "read", "write", ...(sinkLogits ? (["read"] as const) : [])],
      })),
      sinkLogits,
      // What outputs of a calibrated layer are multiplied by.
      rotation: own ?? this.#rotations.take(rotationKey, () => this.#upload(rotation.values, rotationKey)),
      dispose: () => {
        for (const each of tables) each.giveBack();
        if (own) this.#allocator.free(own);
        else this.#rotations.giveBack(rotationKey);
      },
    };
  }
}
