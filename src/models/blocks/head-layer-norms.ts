/** @file LayerNorm of the heads of q and k before rope, one norm a head: with weights of its own, or with those that all heads share. */
import type { RowNorm } from "../../backends/ops.ts";
import { norm, type WeightSpecs, type Weights } from "./block.ts";
import { type HeadOrder, headOrder, oneOfHeads } from "./row-order.ts";

export interface HeadLayerNormShape {
  /**
   * Whether each head has weights of its own, without a bias, in a tensor of its own (StableLM) or in one for all (Command R+); otherwise
   * all share weights and a bias (Phi).
   */
  readonly isOwn: boolean;
  readonly heads: HeadOrder;
  /** The beginning of the tensors' names, and how many heads there are, of q and of k. */
  readonly q: readonly [name: string, numHeads: number];
  readonly k: readonly [name: string, numHeads: number];
  readonly eps: number;
  /** Values in a row of q, k and v beside each other. */
  readonly stride: number;
}

export interface HeadLayerNorms {
  readonly weights: WeightSpecs;
  /** The norms of a row, in the order of its heads. weights: those of the block */
  bind(weights: Weights): RowNorm[];
}

export function headLayerNorms({ isOwn, heads, q, k, eps, stride }: HeadLayerNormShape): HeadLayerNorms {
  const { headDim } = heads;
  const order = headOrder(heads, 1);
  const weights: Record<string, ReturnType<typeof norm>> = {};
  const uses: { readonly weight: string; readonly bias: string | null }[] = [];
  for (const [part, [name, numHeads]] of [["q", q] as const, ["k", k] as const]) {
    for (let head = 0; head < numHeads; head++) {
      const weight = isOwn ? `${part}Norm${head}` : `${part}Norm`;
      const tensor = isOwn ? `${name}.norms.${head}` : name;
      weights[weight] ??= norm(`${tensor}.weight`, headDim, order);
      if (isOwn) {
        const together = { name: `${name}.weight`, shape: [numHeads, headDim], order: oneOfHeads(heads, head) };
        weights[weight] = { ...weights[weight], forms: [[together]] };
      }
      const bias = isOwn ? null : `${part}NormBias`;
      if (bias) weights[bias] ??= { ...norm(`${tensor}.bias`, headDim, order), role: "bias" };
      uses.push({ weight, bias });
    }
  }
  return {
    weights,
    bind: (bound) =>
      uses.map(({ weight, bias }, head) => ({
        ...{ kind: "layer", eps, add: false, first: head * headDim, stride },
        weight: bound[weight]!,
        bias: bias === null ? null : bound[bias]!,
      })),
  };
}
