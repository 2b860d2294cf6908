/** @file The activations of feed-forwards; what each computes is said at `Ops.activate`. */
import type { Weight } from "./buffers.ts";

export type ActivationKind = "silu" | "gelu" | "gelu_tanh" | "quick_gelu" | "relu" | "relu2" | "xielu";

/** SwiGLU with limits (gpt-oss): with gate at most `limit` and up in ±limit, gate · sigmoid(slope · gate) · (up + offset). */
export interface SwigluClamp {
  readonly limit: number;
  readonly slope: number;
  readonly offset: number;
}

/** An activation of a feed-forward. */
export interface Activation {
  readonly kind: ActivationKind;
  /** Whether rows of the input are gate and up, and the activation of gate is multiplied by up. */
  readonly isGated: boolean;
  /** Of xielu, [alphaP, alphaN] before softplus. */
  readonly alphas: Weight | null;
  /** Of silu with a gate; absent: without limits. */
  readonly clamp?: SwigluClamp;
}
