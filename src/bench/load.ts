/** @file Times loading a model beside reading the same bytes, and compares the memory that it leaves with what the planner says. */
import type { WeightType } from "../backends/ops.ts";
import type { BackendName } from "../backends/registry.ts";
import { createBackend } from "../engine/create-backend.ts";
import { LLM } from "../engine/llm.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { bufferBytes, ReadAhead, type ReadPlan, readPlanOf } from "../formats/read-ahead.ts";
import { parseModelConfig } from "../models/config.ts";
import { layoutOf, weightSpecs } from "../models/layout.ts";
import { storedLayout } from "../models/tensor-forms.ts";
import { piecesOf, storedAs, type TensorPiece } from "../models/tensor-pieces.ts";
import { readPlannedModel } from "../plan/read-model.ts";
import { weightMemory } from "../plan/weight-memory.ts";
import { getPlatform, type OnProgress } from "../platform.ts";
import type { ResidentGauge } from "./prefill-peak.ts";

/** What only the caller can ask the operating system. */
export interface ProcessGauge extends ResidentGauge {
  /** Milliseconds of all threads of the process since its start. */
  cpuMs(): number;
  /** Bytes of JavaScript objects and their buffers, WebAssembly memory not among them. */
  heapBytes(): number;
}

export interface LoadBenchOptions {
  readonly backend: BackendName | "auto";
  readonly threads?: number;
  readonly weights: WeightType | "auto";
  readonly repeats: number;
  readonly gauge: ProcessGauge;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** Collections, and the time after each in which another thread gives buffers back to the system. */
const SETTLE = { rounds: 3, ms: 200 };

/** Bytes that are read into memory that is new: of larger models the time is in proportion. */
const MOST_NEW_BYTES = 2 ** 30;

/** Some 130 MB of them, four times what the engine keeps for young ones at most. */
const YOUNG_OBJECTS = 2_000_000;

export interface Timing {
  readonly ms: number;
  readonly cpuMs: number;
}

export interface LoadResult {
  readonly model: string;
  /** The format that most of the weights are kept in. */
  readonly keptAs: WeightType;
  readonly backend: string;
  /** Bytes of the checkpoint that are read. */
  readonly readBytes: number;
  /** Reading these bytes and nothing else, and loading the model; one after the other in every repeat. */
  readonly reads: readonly Timing[];
  readonly loads: readonly Timing[];
  /** Reading the bytes into memory that nobody had before, as every weight's is: what is left of loading without conversion, tokenizer and threads. */
  readonly newReads: readonly Timing[];
  /** Growth of resident memory over the started backend: at most while loading, and afterwards when garbage is collected. */
  readonly peakBytes: number;
  readonly residentBytes: number;
  /** Of `residentBytes`, what JavaScript has grown by: the tokenizer above all. */
  readonly heapBytes: number;
  /** What the planner says of the weights. */
  readonly plannedBytes: number;
  /** What the backend holds when the model is loaded. */
  readonly usedBytes: number | null;
}

/** The files should lie in the page cache: the first load, whose memory is measured, brings them there and is not timed. */
export async function benchLoad(ref: string, options: LoadBenchOptions): Promise<LoadResult> {
  const { gauge, repeats } = options;
  const memory = await memoryOfLoad(ref, options);
  const [reads, newReads, loads]: [Timing[], Timing[], Timing[]] = [[], [], []];
  for (let i = 0; i < repeats; i++) {
    reads.push(await timeOfReading(ref, options, readPieces));
    newReads.push(await timeOfReading(ref, options, readIntoNew));
    let llm: LLM | undefined;
    const load = async (): Promise<void> => {
      llm = await LLM.load(ref, loadOptions(options));
    };
    loads.push(await timed(gauge, load));
    await llm!.dispose();
  }
  return { ...memory, reads, newReads, loads };
}

const loadOptions = ({ backend, threads, weights, signal, onProgress }: LoadBenchOptions) => ({
  backend,
  weights,
  signal,
  ...(threads !== undefined && { threads }),
  ...(onProgress && { onProgress }),
});

async function memoryOfLoad(ref: string, options: LoadBenchOptions) {
  const { gauge, weights } = options;
  const { threads, backend } = options;
  const ops = await createBackend(backend, { formats: [], ...(threads !== undefined && { threads }) });
  const { type: keptAs, bytes: plannedBytes } = await withSource(ref, options, async (source) =>
    weightMemory(await readPlannedModel(source), weights, ops.name as BackendName),
  );
  fillYoungGeneration();
  const before = await settledBytes(gauge);
  const heapBefore = gauge.heapBytes();
  gauge.resetPeak();
  let readBytes = 0;
  const llm = await LLM.load(ref, {
    ...loadOptions(options),
    backend: ops,
    onProgress: (event) => {
      gauge.sample();
      if (event.phase === "load") readBytes = event.total;
      options.onProgress?.(event);
    },
  });
  const peakBytes = gauge.peak() - before;
  const residentBytes = (await settledBytes(gauge)) - before;
  const heapBytes = gauge.heapBytes() - heapBefore;
  const { name } = llm;
  const described = { model: name, keptAs, backend: ops.describe(), usedBytes: ops.usedBytes ?? null };
  await llm.dispose();
  return { ...described, readBytes, peakBytes, residentBytes, heapBytes, plannedBytes };
}

/**
 * The engine commits memory for young objects that becomes resident only when it is first used, by whatever comes then. It is used before
 * memory is looked at, so that it does not count as the model's.
 */
function fillYoungGeneration(): void {
  let last: readonly number[] = [];
  for (let i = 0; i < YOUNG_OBJECTS; i++) last = [i, last.length, 0, 0];
  if (last.length === 0) throw new Error("unreachable");
}

async function settledBytes(gauge: ProcessGauge): Promise<number> {
  for (let round = 0; round < SETTLE.rounds; round++) {
    gauge.bytesAfterGc();
    await new Promise((resolve) => setTimeout(resolve, SETTLE.ms));
  }
  return gauge.bytesAfterGc();
}

async function timed(gauge: ProcessGauge, work: () => Promise<void>): Promise<Timing> {
  gauge.bytesAfterGc();
  const [start, cpu] = [performance.now(), gauge.cpuMs()];
  await work();
  return { ms: performance.now() - start, cpuMs: gauge.cpuMs() - cpu };
}

/** What is read of a model, and how. */
interface Reading {
  readonly checkpoint: Checkpoint;
  readonly pieces: readonly TensorPiece[];
  readonly plan: ReadPlan;
  readonly options: LoadBenchOptions;
}

/** The bytes of all weights in the pieces that loading reads them in; the model's header is read before. */
function timeOfReading(
  ref: string,
  options: LoadBenchOptions,
  read: (reading: Reading) => Promise<Timing>,
): Promise<Timing> {
  return withSource(ref, options, async (source) => {
    const checkpoint = await openCheckpoint(source);
    const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
    const plan = readPlanOf(checkpoint);
    const pieces: TensorPiece[] = [];
    for (const { role, tensors } of weightSpecs(storedLayout(layoutOf(config), await checkpoint.tensors()))) {
      for (const tensor of tensors) {
        pieces.push(...piecesOf(await storedAs(checkpoint, role, tensor), plan.pieceBytes));
      }
    }
    return read({ checkpoint, pieces, plan, options });
  });
}

/** Into buffers that go round. */
function readPieces({ checkpoint, pieces, plan, options: { gauge, signal } }: Reading): Promise<Timing> {
  const memory = new Uint8Array(bufferBytes(plan));
  return timed(gauge, async () => {
    const reads = new ReadAhead(checkpoint, pieces, plan, { memory, signal });
    try {
      for (const _ of pieces) await reads.next();
    } finally {
      await reads.close();
    }
  });
}

async function readIntoNew({ checkpoint, pieces, plan, options: { gauge, signal } }: Reading): Promise<Timing> {
  const total = pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  let [next, at] = [0, 0];
  const { ms, cpuMs } = await timed(gauge, async () => {
    const memory = new Uint8Array(Math.min(total, MOST_NEW_BYTES));
    const readMore = async (): Promise<void> => {
      for (let piece = pieces[next++]; piece; piece = pieces[next++]) {
        const { tensor, start, end } = piece;
        if (at + end - start > memory.length) return;
        const into = memory.subarray(at, at + end - start);
        at += end - start;
        const bytes = await checkpoint.read(tensor, start, end, { signal, into });
        if (bytes.buffer !== into.buffer) into.set(bytes);
      }
    };
    await Promise.all(Array.from({ length: plan.reads }, readMore));
  });
  const factor = total / Math.max(1, at);
  return { ms: ms * factor, cpuMs: cpuMs * factor };
}

async function withSource<T>(
  ref: string,
  { signal }: LoadBenchOptions,
  use: (source: Awaited<ReturnType<ReturnType<typeof getPlatform>["openSource"]>>) => Promise<T>,
): Promise<T> {
  const source = await getPlatform().openSource(ref, { signal });
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
