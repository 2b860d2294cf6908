/** @file Mixtures of experts as operations are told of them: how a row's experts are chosen, and what experts compute. */
import type { Activation } from "./activation.ts";
import type { Buf, Weight } from "./buffers.ts";
import type { Columns } from "./state-ops.ts";

export type RouterScore = "softmax" | "sigmoid" | "sqrtsoftplus" | "sparsemixer";

/** Experts in equal groups: first the best groups are chosen, then the experts among theirs. */
export interface RouterGroups {
  /** Number of groups; it divides the number of experts. */
  readonly count: number;
  /** Number of groups that are chosen. */
  readonly chosen: number;
  /** What a group is worth: its best expert, or the sum of its best two. */
  readonly by: "best" | "bestTwo";
}

/** How a row's experts are chosen by its logits, and what each counts. */
export interface Router {
  readonly numExperts: number;
  /** Number of experts of a row. */
  readonly topK: number;
  /** Values from a row of logits to the next; those behind the first `numExperts` are not looked at. */
  readonly stride: number;
  /**
   * What an expert counts, by its logit: softmax over all, or sigmoid, or the root of ln(1 + eˣ). `sparsemixer` (arXiv 2310.00811, as Phi-3.5-MoE has it):
   * each expert in turn is the best of those left, and counts its softmax over those left that are less than 2 · `jitter` below
   * it, relative to the larger of the best and their own magnitude.
   */
  readonly score: RouterScore;
  readonly jitter: number;
  /** Whether experts are chosen by logits, and scored afterwards, among themselves; otherwise all are scored, and the best chosen. */
  readonly scoresChosen: boolean;
  /** Added to scores for the choice only, [numExperts]; null for none. */
  readonly bias: Weight | null;
  readonly groups: RouterGroups | null;
  /** Whether the scores of the chosen are divided by their sum plus `epsilon`. */
  readonly normalizes: boolean;
  readonly epsilon: number;
  /** Factor of all of them. */
  readonly scale: number;
  /** A factor of its own that each expert counts with, [numExperts]; null for none. */
  readonly expertScales: Weight | null;
}

/** Experts: feed-forwards of one shape, one below the other in their weights. */
export interface Experts {
  readonly numExperts: number;
  /** Whether numbers from `numExperts` on are experts that give what they read; absent: there are none. Their weight is never a factor of x. */
  readonly hasIdentities?: boolean;
  /** Number of experts of a row. */
  readonly topK: number;
  /** What `down` reads. */
  readonly width: number;
  /** [numExperts · 2 · width][cols], for each expert gate and then up; without a gate [numExperts · width][cols]. */
  readonly gateUp: Weight;
  /** One value a row of `gateUp`. */
  readonly gateUpBias: Weight | null;
  readonly activation: Activation;
  /** [numExperts · outputs][width]. */
  readonly down: Weight;
  readonly downBias: Weight | null;
  /** Whether the weight of an expert is a factor of what it reads, instead of what it gives. */
  readonly scalesInput: boolean;
}

/** Buffers for what experts compute on the way, for each row and each of its experts. */
export interface ExpertScratch {
  /** Rows of `gateUp` of an expert. */
  readonly hidden: Buf;
  /** `width` values. */
  readonly activated: Buf;
  /** As many values as the longer of a row of x and of out. */
  readonly output: Buf;
}

/**
 * One matrix of each of a row's experts, whose heads take turns in a row: head h of its k-th expert is the (h · topK + k)-th of all
 * (mixtures of attention, as JetMoE has them).
 */
export interface ExpertHeads {
  readonly numExperts: number;
  /** Number of experts of a row. */
  readonly topK: number;
  /** [numExperts · outputs][cols]. */
  readonly weight: Weight;
  /** One value a row of `weight`, of `gathers` alone. */
  readonly bias: Weight | null;
  /** Coordinates of a head. */
  readonly headDim: number;
  /** Where the heads of all experts of a row lie, of x where they are gathered, else of out. */
  readonly columns: Columns;
  /** Whether each expert reads its heads, and what they give is added up with their weights; else each makes its heads of the whole row. */
  readonly gathers: boolean;
}

/** Buffers for the rows of `multiplyExperts` in the order of their experts: what is read of each, and what it gives. */
export interface ExpertHeadScratch {
  readonly input: Buf;
  readonly output: Buf;
}

/** Rows of `gateUp` that an expert has. */
export const hiddenOf = ({ activation, width }: Pick<Experts, "activation" | "width">): number =>
  activation.isGated ? 2 * width : width;
