/**
 * @file The blocks that layers are made of. A block names its tensors, its scratch memory and its state, and runs on `Ops`.
 *
 * It is described before anything is loaded, and that one description drives loading, the check of a checkpoint against its
 * config, random weights, the memory plan and the total of the load progress.
 */
import type { AttentionLayer, Buf, Ops, Step, Weight } from "../../backends/ops.ts";
import type { StateShape } from "../../cache/states/state-shape.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import type { WeightUse } from "../../weights/kept-type.ts";
import type { RopeConfig } from "../rope.ts";

/** A tensor of a checkpoint. shape: [rows, cols] of a matrix, [length] of a vector */
export interface TensorSpec {
  /** The name Transformers saves it under, e.g. `model.layers.3.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
}

/** What a weight is for. It decides the format the weight is kept in, and the values it has in a random checkpoint. */
export type WeightRole = "matrix" | "embedding" | "norm" | "bias";

/** The use that `keptType` in `weights/` distinguishes for a role. */
export const useOf = (role: WeightRole): WeightUse => (role === "norm" || role === "bias" ? "vector" : role);

/** One matrix or vector of the backend, made of the rows of one or more tensors in this order. */
export interface WeightSpec {
  readonly role: WeightRole;
  readonly tensors: readonly TensorSpec[];
}

/** A block's weights, by the names the block itself gives them. */
export type WeightSpecs = Readonly<Record<string, WeightSpec>>;
export type Weights = Readonly<Record<string, Weight>>;

/** What a block is bound to in one layer, besides its weights. */
export interface LayerContext {
  /** Index of the block's state among the sequence's states of the same kind; -1 for a block without state. */
  readonly stateIndex: number;
  /** Index of the rope with these parameters among those of the stage; see `AttentionLayer.rope`. */
  ropeIndex(config: RopeConfig, headDim: number): number;
  /** The cache format of this layer. */
  readonly format: LayerKvFormat;
  readonly calibration: LayerCalibration | null;
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
  /** Adds the block's output for every row of `x`, [rows][hiddenSize], to the same row of `out`. */
  run(at: BlockStep, x: Buf, out: Buf): void;
  /** Present when the block attends over coded keys and values. */
  readonly attention?: AttentionLayer;
  /** Frees what the block allocated on the backend besides weights and scratch. Idempotent. */
  dispose?(): void;
}

/** A block of one layer, described before anything is loaded. */
export interface Block {
  readonly weights: WeightSpecs;
  /** Number of f32 values a row takes in each scratch buffer. */
  readonly scratch: Readonly<Record<string, number>>;
  /** What a sequence keeps for this block; null when it keeps nothing. */
  readonly state: StateShape | null;
  bind(weights: Weights, context: LayerContext): RunningBlock;
}

/** A residual branch: hidden += block(rmsNorm(hidden)). The branches of a layer run one after the other. */
export interface Branch {
  readonly norm: WeightSpec;
  readonly block: Block;
}

/** A matrix of shape [rows, cols]. */
export function matrix(name: string, rows: number, cols: number): TensorSpec {
  return { name, shape: [rows, cols] };
}

/** Matrices of `cols` columns, stacked so that one product computes them all. */
export function stackedMatrix(cols: number, parts: readonly (readonly [name: string, rows: number])[]): WeightSpec {
  return { role: "matrix", tensors: parts.map(([name, rows]) => matrix(name, rows, cols)) };
}

export function norm(name: string, length: number): WeightSpec {
  return { role: "norm", tensors: [{ name, shape: [length] }] };
}

/** Biases of projections that are stacked as one matrix, in the order of their rows. */
export function bias(parts: readonly (readonly [name: string, rows: number])[]): WeightSpec {
  return { role: "bias", tensors: parts.map(([name, rows]) => ({ name, shape: [rows] })) };
}
