/** @file What a model asks of the choice of kernels: its warm-up runs over a described device whose choices are written down. */
import type { AttentionLayer } from "../../backends/ops.ts";
import { DescribedBackend } from "../../backends/webgpu/described-backend.ts";
import type { GpuContext } from "../../backends/webgpu/device/context.ts";
import { MAX_BATCH_ROWS } from "../../backends/webgpu/linear/batch-plan.ts";
import type { GpuWeight } from "../../backends/webgpu/linear/gpu-weight.ts";
import type { LinearPlan } from "../../backends/webgpu/linear/linear-plan.ts";
import type { AttentionShape } from "../../backends/webgpu/plans/attention-choice.ts";
import { KernelPlans, type LayerPlans } from "../../backends/webgpu/plans/kernel-plans.ts";
import { type ProductQuestion, rowClass } from "../../backends/webgpu/plans/product-choice.ts";
import type { TuneQuestion } from "../../bench/tune/tune.ts";
import { type KernelRequest, warmUpDescribed } from "./kernel-texts.ts";

class RecordedPlans extends KernelPlans {
  /** Products by what they are, with the classes of rows that were asked for. */
  readonly products = new Map<string, { readonly product: ProductQuestion; readonly classes: Set<number> }>();
  readonly layers = new Map<string, AttentionLayer>();

  override product(
    context: GpuContext,
    w: GpuWeight,
    rows: number,
    more: { offset?: number; total?: number; gated?: boolean } = {},
  ): LinearPlan {
    const { type, rows: outputs, cols } = w;
    const question = { type, outputs, cols, rows, gated: more.gated ?? false };
    const key = JSON.stringify({ ...question, rows: 0 });
    const known = this.products.get(key) ?? { product: question, classes: new Set<number>() };
    known.classes.add(rowClass(rows));
    this.products.set(key, known);
    return super.product(context, w, rows, more);
  }

  override ofLayer(layer: AttentionShape): LayerPlans | null {
    const own = layer as AttentionLayer;
    const { index: _, kv, numHeads, numKvHeads, headDim, valueDim, rotaryKeyDim, softcap, slidingWindow } = own;
    const shape = { numHeads, numKvHeads, headDim, valueDim, rotaryKeyDim, softcap, slidingWindow, format: kv.format };
    const key = JSON.stringify(shape);
    if (!this.layers.has(key)) this.layers.set(key, own);
    return super.ofLayer(layer);
  }
}

export interface TuneScope {
  /** Rows of products: of a token, of several sequences together, of a prompt. */
  readonly rows: readonly number[];
  /** Tokens in the cache. */
  readonly depths: readonly number[];
}

/**
 * The questions of a model, those first that a token waits for most: products of one row, attention of a token, products and attention of prompts.
 * Layers that other kernels attend are left out.
 */
export async function tuneQuestions(request: KernelRequest, { rows, depths }: TuneScope): Promise<TuneQuestion[]> {
  const plans = new RecordedPlans();
  await warmUpDescribed(new DescribedBackend(request.features, () => {}, plans), request);
  const size = ({ product: { outputs, cols } }: { readonly product: ProductQuestion }): number => outputs * cols;
  const products = [...plans.products.values()].sort((a, b) => size(b) - size(a));
  // Only what the model asks: a head multiplies the rows whose logits are wanted, pairs of outputs are made of few rows.
  const isAsked = (classes: ReadonlySet<number>, count: number): boolean =>
    classes.has(rowClass(count)) || (count > MAX_BATCH_ROWS && Math.max(...classes) > MAX_BATCH_ROWS);
  const ofRows = (count: number): TuneQuestion[] =>
    products
      .filter(({ classes }) => isAsked(classes, count))
      .map(({ product }) => ({ kind: "product", product: { ...product, rows: count } }));
  const layers = [...plans.layers.values()].filter(
    ({ rotaryKeyDim, valueDim, headDim, isChunked, sinkLogits }) =>
      rotaryKeyDim === 0 && valueDim === headDim && !isChunked && sinkLogits === null,
  );
  const attention = (keys: number, count: number): TuneQuestion[] =>
    layers.map(({ index, numHeads, numKvHeads, headDim, softcap, slidingWindow }) => ({
      kind: "attention",
      attention: {
        config: {
          ...request.config,
          ...{ numHeads, numKvHeads, headDim, slidingWindow: () => slidingWindow },
          traits: { ...request.config.traits, attentionSoftcap: softcap },
        },
        ...{ layer: index, kv: request.kv, keys, rows: count },
      },
    }));
  const few = rows.filter((count) => count <= 8);
  const many = rows.filter((count) => count > 8);
  const chunk = Math.max(0, ...rows.filter((count) => count > 64));
  return [
    ...few.flatMap(ofRows),
    ...depths.flatMap((depth) => attention(depth, 1)),
    ...many.flatMap(ofRows),
    ...(chunk > 0 ? [0, ...depths].flatMap((depth) => attention(depth, chunk)) : []),
  ];
}
