/**
 * @file The blocks that layers are made of. A block names its tensors, its scratch memory and its state, and runs on `Ops`.
 *
 * It is described before anything is loaded, and that one description drives loading, the check of a checkpoint against its
 * config, random weights, the memory plan and the total of the load progress.
 */
import type { Ability } from "../../backends/capabilities.ts";
import type { AttentionLayer, Buf, Ops, Step, Weight } from "../../backends/ops.ts";
import type { SharedShape, StateShape } from "../../cache/states/state-shape.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import type { WeightUse } from "../../weights/kept-type.ts";
import type { RopeConfig } from "../rope.ts";
import type { RowOrder } from "./row-order.ts";

/**
 * A tensor of a checkpoint. shape: [rows, cols] of a matrix, [matrices, rows, cols] of several one below the other, [length] of a
 * vector, [channels, 1, taps] of a convolution
 */
export interface TensorSpec {
  /** The name Transformers saves it under, e.g. `model.layers.3.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Where its rows go; absent when they stay where they are. */
  readonly order?: RowOrder;
  /** The row of the weight that its own are counted from; absent: that behind the tensor before it. */
  readonly first?: number;
  /** Whether each of its matrices is stored as [cols][rows], which is then its shape. */
  readonly isTransposed?: true;
  /** What it has to be stored as, where a file may have one or the other under this name. */
  readonly stored?: "floats" | "blocks";
}

/** What a weight is for. It decides the format the weight is kept in, and the values it has in a random checkpoint. */
export type WeightRole = "matrix" | "embedding" | "norm" | "bias" | "taps" | "router" | "experts";

/** The use that `keptType` in `weights/` distinguishes for a role. */
export const useOf = (role: WeightRole): WeightUse =>
  role === "norm" || role === "bias" || role === "taps" ? "vector" : role;

/** One matrix or vector of the backend, made of the rows of one or more tensors in this order. */
export interface WeightSpec {
  readonly role: WeightRole;
  readonly tensors: readonly TensorSpec[];
  /** Other tensors that a checkpoint may have in the place of these; see `storedForm`. */
  readonly forms?: readonly (readonly TensorSpec[])[];
  /** Whether other layers have the same weight, of tensors of the same names: it is in each memory once. */
  readonly isShared?: true;
  /** Copies of the first row behind those of the tensors; absent: none. */
  readonly copies?: number;
  /** Rows that belong together, those of an expert; absent: single rows. See `Ops.createWeight`. */
  readonly unit?: number;
  /** A vector of so many ones instead of tensors: a norm without weights. */
  readonly ones?: number;
  /** Factor of the values, of vectors only; absent: 1. What is added to them first; absent: 0. */
  readonly scale?: number;
  readonly offset?: number;
}

/** A block's weights, by the names the block itself gives them. */
export type WeightSpecs = Readonly<Record<string, WeightSpec>>;
export type Weights = Readonly<Record<string, Weight>>;

/** What a block is bound to in one layer, besides its weights. */
export interface LayerContext {
  /** Index of the block's state among the sequence's states of the same kind; -1 for a block without state. */
  readonly stateIndex: number;
  /** Index of the rope with these parameters among those of the stage; see `AttentionLayer.rope` and, for storedDim, `HeadRope`. */
  ropeIndex(config: RopeConfig, headDim: number, storedDim?: number): number;
  /** The cache format of this layer. */
  readonly format: LayerKvFormat;
  readonly calibration: LayerCalibration | null;
  /** The attention of another layer, whose keys and values the block reads. It lies in the same memory. */
  attentionOf(layer: number): AttentionLayer;
}

/** What a block's run needs: the operations, the step, and buffers with room for its rows. */
export interface BlockStep {
  readonly ops: Ops;
  readonly step: Step;
  /** Number of tokens in the step. */
  readonly rows: number;
  /** The scratch buffer of this name. The blocks of a stage share it, so its content is lost when the block's run ends. */
  scratch(name: string): Buf;
}

/** A block whose weights are on a backend. */
export interface RunningBlock {
  /** The block's output for every row of `x`, [rows][hiddenSize], in the same row of `out`; with `add`, added to it. */
  run(at: BlockStep, x: Buf, out: Buf, add: boolean): void;
  /** Present when the block attends over coded keys and values. */
  readonly attention?: AttentionLayer;
  /** Present when the block keeps keys of an indexer. */
  readonly indexKeys?: AttentionLayer;
  /** Frees what the block allocated on the backend besides weights and scratch. Idempotent. */
  dispose?(): void;
}

/** What is computed of the embeddings before the first layer, and read by blocks of all layers. */
export interface Prologue {
  readonly weights: WeightSpecs;
  readonly scratch: Readonly<Record<string, number>>;
  /** Name of the buffer that it fills, as for `BlockStep.scratch`, and values of a row. */
  readonly output: { readonly name: string; readonly width: number };
  /** hidden: embeddings, [rows][hiddenSize] */
  bind(weights: Weights): (at: BlockStep, hidden: Buf) => void;
}

/** A block of one layer, described before anything is loaded. */
export interface Block {
  readonly weights: WeightSpecs;
  /** Number of f32 values a row takes in each scratch buffer. */
  readonly scratch: Readonly<Record<string, number>>;
  /** What a sequence keeps for this block; null when it keeps nothing. */
  readonly state: StateShape | SharedShape | null;
  /** Of keys and values of heads: the name, among its weights, of what attention's output is multiplied by; absent: `output`. */
  readonly attentionOutput?: string;
  /** What it needs that not all backends have; absent: nothing. */
  readonly needs?: readonly Ability[];
  bind(weights: Weights, context: LayerContext): RunningBlock;
}

/** A norm of rows with learned weights. `layer` is LayerNorm, which may have a bias. */
export interface Norm {
  readonly kind: "rms" | "layer";
  readonly weight: WeightSpec;
  readonly bias: WeightSpec | null;
  readonly eps: number;
}

/**
 * What branches read of several residual streams, and how their results go back into them. It is of the branch that has it and of those behind it,
 * up to the next that has one.
 */
export interface BranchStreams {
  readonly weights: WeightSpecs;
  /** Buffers whose names no block has keep their values while the branches run. */
  readonly scratch: Readonly<Record<string, number>>;
  /** Whether the row that branches read is not the one that they leave: what they make takes its place with `replaces`. Absent: it is added to it. */
  readonly isApart?: true;
  bind(weights: Weights): RunningBranchStreams;
}

export interface RunningBranchStreams {
  /** Makes of the streams, [rows][count][hiddenSize], the row that the branches read, [rows][hiddenSize]. */
  before(at: BlockStep, streams: Buf, hidden: Buf): void;
  /** Takes the row that the branches left back into the streams. */
  after(at: BlockStep, streams: Buf, hidden: Buf): void;
}

/** Several residual streams in the place of one. */
export interface Streams {
  /** 2 to MAX_STREAMS; rows are [count][hiddenSize]. */
  readonly count: number;
  /** The streams before the first layer, of the embeddings. */
  readonly begin: StreamEnd;
  /** Of the streams behind the last layer, the row that the final norm reads. */
  readonly end: StreamEnd;
}

/** One row of each token to several, or the other way. */
export interface StreamEnd {
  readonly weights: WeightSpecs;
  readonly scratch: Readonly<Record<string, number>>;
  bind(weights: Weights): (at: BlockStep, streams: Buf, row: Buf) => void;
}

/** A residual branch: hidden += postNorm(block(norm(hidden))). The branches of a layer run one after the other. */
export interface Branch {
  /** Null when the block reads the residual stream as it is. */
  readonly norm: Norm | null;
  readonly block: Block;
  /** Absent when what the block makes is added as it is. */
  readonly postNorm?: Norm;
  /** One value that the stream is multiplied by behind the sum, of a branch with a `postNorm`. */
  readonly factor?: WeightSpec;
  /**
   * Whether the block reads the rows that the branch before it read: the two are beside each other. Without a norm of its own it
   * takes what that branch's norm gave.
   */
  readonly isBeside?: boolean;
  /** Of a model with several streams: absent where the branch reads the row of the one before it. */
  readonly streams?: BranchStreams;
  /** Of such a model: whether the block reads all streams as one long row, and adds to them. It has no norms, and comes before all with `streams`. */
  readonly readsStreams?: true;
  /**
   * Whether what the branch makes takes the place of the row that it read, of one with a norm before or behind, beside one with a norm before, or with a row
   * of streams that is apart; absent: is added to it.
   */
  readonly replaces?: true;
}

/** Rows and columns of what a tensor is in the weight, those that are left out included. */
export function sizeOf({ shape, isTransposed }: TensorSpec): { readonly rows: number; readonly cols: number } {
  if (shape.length < 2) return { rows: shape[0]!, cols: 1 };
  const [rows, cols] = shape.slice(-2) as [number, number];
  const matrices = shape.length === 3 ? shape[0]! : 1;
  return isTransposed ? { rows: matrices * cols, cols: rows } : { rows: matrices * rows, cols };
}

/** A matrix of shape [rows, cols]. */
export function matrix(name: string, rows: number, cols: number): TensorSpec {
  return { name, shape: [rows, cols] };
}

/** Rows of a stack: a tensor's name, its number of rows, and where they go. */
export type StackPart = readonly [name: string, rows: number, order?: RowOrder | null | undefined];

/** Matrices of `cols` columns, stacked so that one product computes them all. */
export function stackedMatrix(cols: number, parts: readonly StackPart[]): WeightSpec {
  return { role: "matrix", tensors: parts.map(([name, rows, order]) => ordered(matrix(name, rows, cols), order)) };
}

export function norm(name: string, length: number, order?: RowOrder | null): WeightSpec {
  return { role: "norm", tensors: [ordered({ name, shape: [length] }, order)] };
}

/** The same matrices, which a checkpoint has as [cols][rows]. */
export function transposed(spec: WeightSpec): WeightSpec {
  return {
    ...spec,
    tensors: spec.tensors.map((tensor) => ({ ...tensor, shape: tensor.shape.toReversed(), isTransposed: true })),
  };
}

/** A norm without weights, of rows or heads of `length`. */
export function plainNorm(length: number): WeightSpec {
  return { role: "norm", tensors: [], ones: length };
}

/** A norm whose weights are stored less `offset`. */
export function withOffset(spec: WeightSpec, offset: number): WeightSpec {
  return offset === 0 || spec.ones ? spec : { ...spec, offset };
}

/** Biases of projections that are stacked as one matrix, in the order of their rows. */
export function bias(parts: readonly StackPart[]): WeightSpec {
  return { role: "bias", tensors: parts.map(([name, rows, order]) => ordered({ name, shape: [rows] }, order)) };
}

/**
 * Taps of a convolution of each channel by itself, as one list. forms: the tensors that they may be in, with the channels of each
 */
export function taps(
  kernel: number,
  forms: readonly (readonly (readonly [name: string, channels: number])[])[],
): WeightSpec {
  const [tensors, ...others] = forms.map((form) =>
    form.map(([name, channels]): TensorSpec => ({ name, shape: [channels, 1, kernel] })),
  );
  return { role: "taps", tensors: tensors!, ...(others.length > 0 && { forms: others }) };
}

/** The block, whose tensors a checkpoint may have under other names, each weight all of its own. other: the other name of a tensor */
export function alsoNamed(block: Block, other: (name: string) => string): Block {
  const both = ({ tensors, forms = [], ...rest }: WeightSpec): WeightSpec => {
    const renamed = [tensors, ...forms].map((form) => form.map((tensor) => ({ ...tensor, name: other(tensor.name) })));
    return { ...rest, tensors, forms: [...forms, ...renamed] };
  };
  return {
    ...block,
    weights: Object.fromEntries(Object.entries(block.weights).map(([name, spec]) => [name, both(spec)])),
  };
}

const ordered = (tensor: TensorSpec, order: RowOrder | null | undefined): TensorSpec =>
  order ? { ...tensor, order } : tensor;
