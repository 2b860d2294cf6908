/**
 * @file What a layer is made of: blocks that name their tensors, their scratch memory and their state, and run on `Ops`.
 *
 * A block is described before anything is loaded. The one description drives loading, the check of a checkpoint against its
 * config, random weights, the memory plan and the total of the load progress.
 */
import type { AttentionLayer, Buf, Ops, Step, Weight } from "../../backends/ops.ts";
import type { StateShape } from "../../cache/states/state-shape.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import type { WeightUse } from "../../weights/kept-type.ts";
import type { RopeConfig } from "../rope.ts";

/** A tensor of a checkpoint. `shape`: [rows, cols] of a matrix, [length] of a vector. */
export interface TensorSpec {
  /** As Transformers saves it, e.g. `model.layers.3.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
}

/** What a weight is used for, which decides how it is kept and what random ones are. */
export type WeightRole = "matrix" | "embedding" | "norm" | "bias";

/** How `keptType` of `weights/` sees a role. */
export const useOf = (role: WeightRole): WeightUse => (role === "norm" || role === "bias" ? "vector" : role);

/** One weight as it lies on the backend: the rows of its tensors, one tensor below the other. */
export interface WeightSpec {
  readonly role: WeightRole;
  readonly tensors: readonly TensorSpec[];
}

/** Weights of a block by the block's own names for them. */
export type WeightSpecs = Readonly<Record<string, WeightSpec>>;
export type Weights = Readonly<Record<string, Weight>>;

/** What a block of one layer is given when its weights are there. */
export interface LayerContext {
  /** Which of a sequence's states of its kind is this block's; -1 for a block without one. */
  readonly stateIndex: number;
  /** Which of the stage's ropes has these parameters; see `AttentionLayer.rope`. */
  ropeIndex(config: RopeConfig, headDim: number): number;
  /** The cache format of this layer. */
  readonly format: LayerKvFormat;
  readonly calibration: LayerCalibration | null;
}

/** What a block runs in: the step, and buffers with room for its rows. */
export interface BlockStep {
  readonly ops: Ops;
  readonly step: Step;
  /** Tokens of the step. */
  readonly rows: number;
  /** The scratch buffer of this name. Blocks of one stage share them: nothing in it outlives the block's run. */
  scratch(name: string): Buf;
}

/** A block whose weights are on a backend. */
export interface RunningBlock {
  /** Adds the block's output for every row of `x`, [rows][hiddenSize], to `out`, which has the same shape. */
  run(at: BlockStep, x: Buf, out: Buf): void;
  /** Of a block that attends over coded keys and values. */
  readonly attention?: AttentionLayer;
  /** Frees what the block keeps on the backend besides weights and scratch. Idempotent. */
  dispose?(): void;
}

/** A block of one layer of one model, before anything is loaded. */
export interface Block {
  readonly weights: WeightSpecs;
  /** f32 values a row of each scratch buffer. */
  readonly scratch: Readonly<Record<string, number>>;
  /** What a sequence keeps for this block; null when it keeps nothing. */
  readonly state: StateShape | null;
  bind(weights: Weights, context: LayerContext): RunningBlock;
}

/** A residual branch: hidden += block(rmsNorm(hidden)). A layer is one branch after the other. */
export interface Branch {
  readonly norm: WeightSpec;
  readonly block: Block;
}

/** A matrix of [rows][cols]. */
export function matrix(name: string, rows: number, cols: number): TensorSpec {
  return { name, shape: [rows, cols] };
}

/** Matrices of `cols` columns that run as one, one below the other. */
export function stackedMatrix(cols: number, parts: readonly (readonly [name: string, rows: number])[]): WeightSpec {
  return { role: "matrix", tensors: parts.map(([name, rows]) => matrix(name, rows, cols)) };
}

export function norm(name: string, length: number): WeightSpec {
  return { role: "norm", tensors: [{ name, shape: [length] }] };
}

/** Biases of projections that run as one matrix, one after the other. */
export function bias(parts: readonly (readonly [name: string, rows: number])[]): WeightSpec {
  return { role: "bias", tensors: parts.map(([name, rows]) => ({ name, shape: [rows] })) };
}
