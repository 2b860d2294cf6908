/**
 * @file Loads the weights of a layout in the order of the forward pass. The next pieces are read while one is converted, and no
 * tensor is in memory as a whole.
 */
import type { LentMemory, Ops, Weight, WeightType, WeightWriter } from "../backends/ops.ts";
import { StackedWeight } from "../backends/stacked-weight.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { bufferBytes, ReadAhead, type ReadPlan, readPlanOf, WINDOW_BYTES } from "../formats/read-ahead.ts";
import { bytesOf } from "../weights/elements.ts";
import { type KeptRun, keptRuns } from "../weights/kept-type.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes, rowBytes } from "../weights/weight-format.ts";
import {
  type Branch,
  type Norm,
  type TensorSpec,
  useOf,
  type WeightRole,
  type WeightSpec,
  type WeightSpecs,
  type Weights,
} from "./blocks/block.ts";
import { checkFinite } from "./checkpoint-weights.ts";
import { endWeights, layerWeights, type ModelLayout, startWeights } from "./layout.ts";

import { type PlacedPart, placedRows, placedVector, scaledPart } from "./placed-rows.ts";
import { piecesOf, type StoredMatrix, storedAs, type TensorPiece } from "./tensor-pieces.ts";
import { transposedPart } from "./transposed-part.ts";

export interface WeightOptions {
  /**
   * Format to keep weights in; `auto` keeps them as stored. Embedding and head may get another format, see
   * `WeightFormat.embedding`.
   */
  readonly weights: WeightType | "auto";
  /** Called after each piece that is on the backend: a tensor's name, and bytes of the checkpoint. Ends with done = total. */
  readonly onBytes?: (tensor: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A norm with its weights. */
export interface LoadedNorm extends Pick<Norm, "kind" | "eps"> {
  readonly weight: Weight;
  readonly bias: Weight | null;
}

export interface LoadedBranch {
  readonly branch: Branch;
  readonly norm: LoadedNorm | null;
  readonly postNorm: LoadedNorm | null;
  readonly factor: Weight | null;
  readonly weights: Weights;
  /** Of what the branch reads of several streams; none without that. */
  readonly streams: Weights;
}

export interface LoadedWeights {
  readonly embedding: Weight;
  readonly positions: Weight | null;
  readonly embeddingNorm: LoadedNorm | null;
  /** Of the prologue; none without one. */
  readonly prologue: Weights;
  /** Of what makes several streams of one and one of several; none for one. */
  readonly streams: { readonly begin: Weights; readonly end: Weights };
  readonly layers: readonly (readonly LoadedBranch[])[];
  /** Null where the head reads the stream as it is. */
  readonly finalNorm: LoadedNorm | null;
  /** The embedding itself when the head is tied to it. */
  readonly head: Weight;
  readonly headBias: Weight | null;
  /** Bytes of all weights on the backend; a tied head counts once. */
  readonly numBytes: number;
  /** Number of weights of each type that they are kept in. */
  readonly numOfType: Readonly<Record<string, number>>;
}

/** The operations over the memory of the embedding, of each layer, and of the final norm and the head. */
export interface WeightPlaces {
  readonly embedding: Ops;
  readonly layers: readonly Ops[];
  readonly head: Ops;
}

/** @throws TurboQuantError invalid_file, out_of_memory, or the signal's reason; then the backend has none of the weights */
export async function loadWeights(
  places: WeightPlaces,
  checkpoint: Checkpoint,
  layout: ModelLayout,
  options: WeightOptions,
): Promise<LoadedWeights> {
  const stored = new Map<TensorSpec, StoredMatrix>();
  for (const { role, tensors } of loadedSpecs(places, layout)) {
    for (const tensor of tensors) stored.set(tensor, await storedAs(checkpoint, role, tensor));
  }
  const loading = new Loading(places.embedding, checkpoint, stored, options);
  try {
    const embedding = await loading.load(places.embedding, layout.embedding);
    const positions = layout.positions && (await loading.load(places.embedding, layout.positions));
    const embeddingNorm = layout.embeddingNorm && (await loading.loadNorm(places.embedding, layout.embeddingNorm));
    const prologue = await loading.loadAll(places.embedding, layout.prologue?.weights ?? {});
    const begin = await loading.loadAll(places.embedding, layout.streams?.begin.weights ?? {});
    const layers: LoadedBranch[][] = [];
    for (const [index, branches] of layout.layers.entries()) {
      const ops = places.layers[index]!;
      const loaded: LoadedBranch[] = [];
      for (const branch of branches) {
        const streams = await loading.loadAll(ops, branch.streams?.weights ?? {});
        const norm = branch.norm ? await loading.loadNorm(ops, branch.norm) : null;
        const weights = await loading.loadAll(ops, branch.block.weights);
        const postNorm = branch.postNorm ? await loading.loadNorm(ops, branch.postNorm) : null;
        const factor = branch.factor ? await loading.load(ops, branch.factor) : null;
        loaded.push({ branch, streams, norm, postNorm, factor, weights });
      }
      layers.push(loaded);
    }
    const end = await loading.loadAll(places.layers.at(-1)!, layout.streams?.end.weights ?? {});
    const finalNorm = layout.finalNorm && (await loading.loadNorm(places.head, layout.finalNorm));
    const head = layout.head ? await loading.load(places.head, layout.head) : embedding;
    const headBias = layout.headBias ? await loading.load(places.head, layout.headBias) : null;
    const before = { embedding, positions, embeddingNorm, prologue, streams: { begin, end } };
    return { ...before, layers, finalNorm, head, headBias, numBytes: loading.numBytes, numOfType: loading.numOfType };
  } catch (error) {
    loading.freeAll();
    throw error;
  } finally {
    await loading.close();
  }
}

/** What tells a weight that several layers have from others. */
const keyOf = ({ tensors }: WeightSpec): string => tensors.map(({ name }) => name).join(" ");

/** Every weight in the order in which it is loaded: those that layers share once for each memory. */
function* loadedSpecs(places: WeightPlaces, layout: ModelLayout): Generator<WeightSpec> {
  yield* startWeights(layout);
  const seen = new Map<Ops, Set<string>>();
  for (const [index, branches] of layout.layers.entries()) {
    const ops = places.layers[index]!;
    const own = seen.get(ops) ?? new Set();
    seen.set(ops, own);
    for (const spec of layerWeights(branches)) {
      if (spec.isShared && own.has(keyOf(spec))) continue;
      if (spec.isShared) own.add(keyOf(spec));
      yield spec;
    }
  }
  yield* endWeights(layout);
}

/** The weights on their way, in the order in which their tensors are `stored`. */
class Loading {
  readonly #stored: ReadonlyMap<TensorSpec, StoredMatrix>;
  readonly #options: WeightOptions;
  readonly #plan: ReadPlan;
  readonly #lent: LentMemory | null;
  readonly #reads: ReadAhead;
  readonly #checkpoint: Checkpoint;
  /** Those that are loaded, each with the operations it belongs to. */
  readonly #weights: { readonly ops: Ops; readonly weight: Weight }[] = [];
  /** Those that several layers have, by memory and by `keyOf`. */
  readonly #shared = new Map<Ops, Map<string, Weight>>();
  readonly #totalBytes: number;
  #doneBytes = 0;

  /** lender: operations over memory that bytes may be read into */
  constructor(
    lender: Ops,
    checkpoint: Checkpoint,
    stored: ReadonlyMap<TensorSpec, StoredMatrix>,
    options: WeightOptions,
  ) {
    this.#checkpoint = checkpoint;
    this.#stored = stored;
    this.#options = options;
    this.#totalBytes = [...stored.values()].reduce(
      (sum, { info, rows, cols }) => sum + matrixBytes(weightFormat(info.dtype), rows, cols),
      0,
    );
    this.#plan = readPlanOf(checkpoint);
    const size = bufferBytes(this.#plan);
    // Of a small model every piece has memory of its own: that of all buffers that are used again would cost it more than it saves.
    const isSmall = this.#totalBytes <= Math.max(size, WINDOW_BYTES);
    this.#lent = checkpoint.isLocal ? (lender.lendMemory?.(size) ?? null) : null;
    const memory = this.#lent?.bytes ?? (isSmall ? null : new Uint8Array(size));
    this.#reads = new ReadAhead(checkpoint, piecesOfAll(stored.values(), this.#plan), this.#plan, {
      ...(memory && { memory }),
      ...(options.signal && { signal: options.signal }),
    });
  }

  /** Bytes of all weights on the backend. */
  get numBytes(): number {
    return this.#weights.reduce((sum, { weight }) => sum + weight.numBytes, 0);
  }

  get numOfType(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { weight } of this.#weights) counts[weight.type] = (counts[weight.type] ?? 0) + 1;
    return counts;
  }

  async loadNorm(ops: Ops, { kind, eps, weight, bias }: Norm): Promise<LoadedNorm> {
    return { kind, eps, weight: await this.load(ops, weight), bias: bias && (await this.load(ops, bias)) };
  }

  async loadAll(ops: Ops, specs: WeightSpecs): Promise<Weights> {
    const weights: Record<string, Weight> = {};
    for (const [name, spec] of Object.entries(specs)) weights[name] = await this.load(ops, spec);
    return weights;
  }

  async load(ops: Ops, spec: WeightSpec): Promise<Weight> {
    if (spec.ones) return this.#loadOnes(ops, spec.ones, spec.scale ?? 1);
    if (!spec.isShared) return this.#loadOwn(ops, spec);
    const own = this.#shared.get(ops) ?? new Map<string, Weight>();
    this.#shared.set(ops, own);
    const weight = own.get(keyOf(spec)) ?? (await this.#loadOwn(ops, spec));
    own.set(keyOf(spec), weight);
    return weight;
  }

  async #loadOwn(ops: Ops, spec: WeightSpec): Promise<Weight> {
    const matrices = spec.tensors.map((tensor) => this.#stored.get(tensor)!);
    const loaded: Weight[] = [];
    for (const run of keptRuns(useOf(spec.role), matrices, ({ info }) => info.dtype, this.#options.weights)) {
      loaded.push(await this.#loadRun(ops, spec, run));
    }
    return loaded.length === 1 ? loaded[0]! : new StackedWeight(loaded);
  }

  #loadOnes(ops: Ops, length: number, value: number): Weight {
    const data = bytesOf(new Float32Array(length).fill(value));
    const weight = ops.loadWeight([{ dtype: "f32", rows: 1, cols: length, data }], "f32");
    this.#weights.push({ ops, weight });
    return weight;
  }

  async #loadRun(ops: Ops, spec: WeightSpec, { type, tensors: matrices }: KeptRun<StoredMatrix>): Promise<Weight> {
    const shapes = matrices.map((matrix) => shapeIn(spec.role, keptShape(matrix)));
    const { copies = 0 } = spec;
    const rows = shapes.reduce((sum, shape) => sum + shape.rows, copies);
    const writer = ops.createWeight(rows, shapes[0]!.cols, type, spec.unit);
    try {
      let row = 0;
      for (const [i, matrix] of matrices.entries()) {
        const from = matrix.first ?? row;
        for (const piece of piecesOf(matrix, this.#plan.pieceBytes))
          await this.#write(writer, from, matrix, piece, spec);
        row += shapes[i]!.rows;
      }
      if (copies > 0) await this.#writeCopies(writer, row, matrices[0]!, copies);
    } finally {
      this.#weights.push({ ops, weight: writer.finish() });
    }
    return this.#weights.at(-1)!.weight;
  }

  freeAll(): void {
    for (const { ops, weight } of this.#weights) ops.freeWeight(weight);
  }

  async close(): Promise<void> {
    await this.#reads.close();
    this.#lent?.giveBack();
  }

  /** Writes the first row of a tensor to so many rows from `row` on. */
  async #writeCopies(writer: WeightWriter, row: number, { info, cols }: StoredMatrix, copies: number): Promise<void> {
    const data = await this.#checkpoint.read(info.name, 0, rowBytes(weightFormat(info.dtype), cols));
    for (let i = 0; i < copies; i++) await writer.write({ dtype: info.dtype, rows: 1, cols, data }, row + i);
  }

  /** row: of the tensor's first one in the weight */
  async #write(
    writer: WeightWriter,
    row: number,
    matrix: StoredMatrix,
    piece: TensorPiece,
    { role, scale = 1, offset = 0 }: WeightSpec,
  ) {
    const { info, cols, order, transposedRows } = matrix;
    const stored = { dtype: info.dtype, rows: piece.rows, cols, data: await this.#reads.next() };
    const part = transposedRows === undefined ? stored : transposedPart(stored, transposedRows);
    let areFinite = true;
    const placedParts = (): PlacedPart[] => {
      if (!order) return [{ part, row: piece.firstRow }];
      return matrix.rows === 1 ? [placedVector(part, order)] : placedRows(part, piece.firstRow, order);
    };
    for (const placed of placedParts()) {
      const own = scale === 1 && offset === 0 ? placed.part : scaledPart(placed.part, scale, offset);
      // A matrix among lists of numbers has as many of them in a row as columns.
      const at = row + shapeIn(role, { rows: placed.row, cols }).rows;
      areFinite = (await writer.write({ ...own, ...shapeIn(role, own) }, at)) && areFinite;
    }
    if (!areFinite) checkFinite(matrix, part, piece.firstRow, this.#checkpoint.nameInFile?.(info.name));
    this.#doneBytes += piece.end - piece.start;
    this.#options.onBytes?.(info.name, this.#doneBytes, this.#totalBytes);
  }
}

/** The shape of what is kept of a tensor. */
function keptShape({ rows, cols, order }: StoredMatrix) {
  const numRows = order?.numRows;
  if (numRows === undefined) return { rows, cols };
  return rows === 1 ? { rows, cols: numRows } : { rows: numRows, cols };
}

/** Biases of stacked projections are columns of width 1, so that they stack like the rows they belong to; taps are one list too. */
const shapeIn = (role: WeightRole, { rows, cols }: { readonly rows: number; readonly cols: number }) =>
  role === "bias" || role === "taps" ? { rows: rows * cols, cols: 1 } : { rows, cols };

function* piecesOfAll(matrices: Iterable<StoredMatrix>, { pieceBytes }: ReadPlan): Generator<TensorPiece> {
  for (const matrix of matrices) yield* piecesOf(matrix, pieceBytes);
}
