/**
 * @file The gated delta rule. Spans of few rows go row by row. Of others a kernel first finds, for all chunks of rows at once, what the rows
 * of a chunk have to do with each other; then another one goes from chunk to chunk.
 */
import type { DeltaRule, Step } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { DELTA_EPS } from "../../state-ops.ts";
import type { GpuContext } from "../device/context.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { GpuPageStorage } from "../queue/page-storage.ts";
import { shader } from "../queue/shader-text.ts";
import type { StepBuffer } from "../queue/step-buffer.ts";
import { STATE_VALUES } from "../queue/step-records.ts";
import { CHUNK_ROWS, deltaBytes, FEW_ROWS, mostChunks, slotUnits } from "./delta-plan.ts";

/** Columns of the state that a workgroup of delta-rule.wgsl has, and invocations that share each of them out. */
const COLUMNS = 16;
const PARTS = 8;
/** Of delta-chunks.wgsl: of long keys fewer columns, because they lie in workgroup memory. */
const chunkColumns = (keyDim: number): number => (keyDim > 128 ? 8 : 16);

const inputFields = {
  statesAt: ["u32", "Word of the state's records in `step`."],
  rateFirst: ["u32", "First columns of the inputs of rates and decays, in rows of so many values."],
  rateStride: "u32",
  decayFirst: "u32",
  decayStride: "u32",
  decayBound: "f32",
  rateScale: "f32",
  scale: ["f32", "Of queries of length 1."],
  eps: "f32",
} as const;
const pageFields = {
  pageWords: ["u32", "Words of a page, and the first one of the state in it."],
  partAt: "u32",
} as const;
const chunkFields = {
  mostChunks: ["u32", "At least the chunks of a span."],
  decaysAt: ["u32", "The first vector of the chunks' decays by channel in `work`."],
} as const;

const rowParams = new Struct({ ...inputFields, ...pageFields, mostRows: ["u32", "Spans of more rows are left out."] });
const weightParams = new Struct({ ...inputFields, ...chunkFields });
const chunkParams = new Struct({ statesAt: inputFields.statesAt, ...pageFields, ...chunkFields });

type Inputs = Readonly<Record<"qkv" | "rates" | "decays" | "decayLog" | "decayBias", GpuBuffer>>;

export class DeltaKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;
  /** Grows to the longest step, which the warm-up meets. */
  #work: GpuBuffer | null = null;

  constructor(
    context: GpuContext,
    commands: Commands,
    allocator: BufferAllocator,
    storage: GpuPageStorage,
    steps: StepBuffer,
  ) {
    this.#context = context;
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#steps = steps;
  }

  /** See `Ops.deltaRule`. */
  run(step: Step, of: DeltaRule, inputs: Inputs, out: GpuBuffer): void {
    const longest = step.spans.reduce((most, { count }) => Math.max(most, count), 0);
    const bytes = deltaBytes(of, step.tokens.length, step.spans.length, longest);
    const hasChunks = longest > FEW_ROWS && bytes <= this.#context.bindingBytes;
    if (hasChunks) this.#chunks(step, of, inputs, out, bytes, mostChunks(longest));
    const hasRows = !hasChunks || step.spans.some(({ count }) => count <= FEW_ROWS);
    if (hasRows) this.#rows(step, of, inputs, out, hasChunks ? FEW_ROWS : longest);
  }

  #rows(step: Step, of: DeltaRule, inputs: Inputs, out: GpuBuffer, mostRows: number): void {
    const { keyDim, valueDim, numHeads } = of;
    const { pages, pageWords, partAt } = this.#pagesOf(step, of);
    const label = `delta rule ${nameOf(of)}`;
    const kernel = this.#commands.kernel(label, () => ({
      label,
      shader: shader("delta-rule", rowParams, { ...valuesOf(of), COLUMNS, PARTS, OWN: Math.ceil(keyDim / PARTS) }),
      buffers: ["read", "read", "read", "read", "read", "read", "write", "write"],
    }));
    const { qkv, rates, decays, decayLog, decayBias } = inputs;
    this.#commands.dispatch(
      kernel,
      { ...this.#inputsOf(of), pageWords, partAt, mostRows },
      [this.#steps.buffer, qkv, rates, decays, decayLog, decayBias, pages, out],
      Math.ceil(valueDim / COLUMNS),
      numHeads,
      step.spans.length,
    );
  }

  #chunks(step: Step, of: DeltaRule, inputs: Inputs, out: GpuBuffer, bytes: number, most: number): void {
    const { keyDim, valueDim, numHeads } = of;
    const { pages, pageWords, partAt } = this.#pagesOf(step, of);
    const work = this.#room(bytes);
    const values = { ...valuesOf(of), CHUNK: CHUNK_ROWS, SLOT: slotUnits(of), FEW_ROWS };
    const weights = this.#commands.kernel(`delta weights ${nameOf(of)}`, () => ({
      label: `delta rule ${nameOf(of)}, weights of chunks`,
      shader: shader("delta-weights", weightParams, values),
      buffers: ["read", "read", "read", "read", "read", "read", "write"],
    }));
    const { qkv, rates, decays, decayLog, decayBias } = inputs;
    const ofChunks = { mostChunks: most, decaysAt: step.tokens.length * numHeads * slotUnits(of) };
    this.#commands.dispatch(
      weights,
      { ...this.#inputsOf(of), ...ofChunks },
      [this.#steps.buffer, qkv, rates, decays, decayLog, decayBias, work],
      most,
      numHeads,
      step.spans.length,
    );
    const columns = chunkColumns(keyDim);
    const chunks = this.#commands.kernel(`delta chunks ${nameOf(of)}`, () => ({
      label: `delta rule ${nameOf(of)}, chunks`,
      shader: shader("delta-chunks", chunkParams, { ...values, COLUMNS: columns }),
      buffers: ["read", "read", "read", "write", "write"],
    }));
    this.#commands.dispatch(
      chunks,
      { statesAt: this.#steps.stateAt(of.state.index), pageWords, partAt, ...ofChunks },
      [this.#steps.buffer, qkv, work, pages, out],
      Math.ceil(valueDim / columns),
      numHeads,
      step.spans.length,
    );
  }

  #inputsOf(of: DeltaRule) {
    return {
      statesAt: this.#steps.stateAt(of.state.index),
      rateFirst: of.rate.first,
      rateStride: of.rate.stride,
      decayFirst: of.decay.first,
      decayStride: of.decay.stride,
      decayBound: of.decayBound ?? 0,
      rateScale: of.rateScale,
      scale: 1 / Math.sqrt(of.keyDim),
      eps: DELTA_EPS,
    };
  }

  /** The buffer of all pages of the state, the words of one, and the first word of the rule's part in it. */
  #pagesOf(step: Step, { state }: DeltaRule) {
    const { group, pageBytes } = step.spans[0]!.sequence.recurrent(state.index);
    return { pages: this.#storage.bufferOf(group, pageBytes), pageWords: pageBytes / 4, partAt: state.offset / 4 };
  }

  /** What is queued and uses a smaller buffer keeps it. */
  #room(numBytes: number): GpuBuffer {
    if (this.#work && this.#work.numBytes >= numBytes) return this.#work;
    if (this.#work) this.#allocator.free(this.#work);
    this.#work = this.#allocator.allocate(numBytes, "chunks of the delta rule");
    return this.#work;
  }
}

function nameOf({ numHeads, numKeyHeads, isTiled, keyDim, valueDim, isByChannel, decayBound }: DeltaRule): string {
  const kind = `${isTiled ? ", tiled" : ""}${isByChannel ? ", by channel" : ""}${decayBound === null ? "" : ", bounded"}`;
  return `${numHeads}/${numKeyHeads} heads of ${keyDim} and ${valueDim}${kind}`;
}

const valuesOf = ({
  numHeads,
  numKeyHeads,
  isTiled = false,
  keyDim,
  valueDim,
  isByChannel,
  decayBound,
}: DeltaRule) => ({
  ...STATE_VALUES,
  NUM_HEADS: numHeads,
  GROUP: numHeads / numKeyHeads,
  TILED: isTiled,
  KEY_DIM: keyDim,
  VALUE_DIM: valueDim,
  BY_CHANNEL: isByChannel,
  BOUNDED: decayBound !== null,
});
