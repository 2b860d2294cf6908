/**
 * @file Which plan a kernel gets: what the tuner is trying, else what it has found best on this adapter for this shape, else the rule's.
 */
import type { DecodeTuning } from "../attention/decode-attention.ts";
import { type PrefillPlan, planPrefill } from "../attention/prefill-plan.ts";
import type { GpuContext } from "../device/context.ts";
import type { GpuWeight } from "../linear/gpu-weight.ts";
import { fewRows, type LinearPlan, planLinear } from "../linear/linear-plan.ts";
import {
  type AttentionShape,
  decodeClass,
  decodeShape,
  partsOfKey,
  prefillClass,
  prefillShape,
  prefillSpace,
} from "./attention-choice.ts";
import { canMultiply, productKey } from "./product-choice.ts";

export type Plan = LinearPlan | DecodeTuning | PrefillPlan;

/** What the tuner has found for a shape. */
export interface Winner {
  /** The kernel and its shape: `productKey`, `decodeKey` or `prefillKey`. */
  readonly key: string;
  readonly plan: Plan;
  /** Microseconds of the plan and of the rule's, medians of samples in turns. */
  readonly us: number;
  readonly ruleUs: number;
  /** Interquartile range of the wider one, microseconds. */
  readonly spread: number;
}

/** Settings in the place of all others while benchmarks and the tuner try them. */
export interface Trial {
  readonly decode?: DecodeTuning;
  readonly prefill?: PrefillPlan;
}

/** By rule. */
const NO_TUNING: DecodeTuning = {};
/** Plans by the classes of keys and of rows. */
type ByClass<T> = ReadonlyMap<number, ReadonlyMap<number, T>>;

/** Winners of a layer. */
export interface LayerPlans {
  readonly decode: ByClass<DecodeTuning>;
  readonly prefill: ByClass<PrefillPlan>;
}

export class KernelPlans {
  trial: Trial = {};
  readonly #winners: ReadonlyMap<string, Winner>;
  /** Those of attention by the shape of a layer. */
  readonly #attention = new Map<string, Map<number, Map<number, Plan>>>();

  constructor(winners: readonly Winner[] = []) {
    this.#winners = new Map(winners.map((winner) => [winner.key, winner]));
    for (const { key, plan } of winners) {
      const parts = partsOfKey(key);
      if (!parts) continue;
      const byKeys = this.#attention.get(parts.shape) ?? new Map<number, Map<number, Plan>>();
      const byRows = byKeys.get(parts.keys) ?? new Map<number, Plan>();
      this.#attention.set(parts.shape, byKeys.set(parts.keys, byRows.set(parts.rows, plan)));
    }
  }

  get winners(): readonly Winner[] {
    return [...this.#winners.values()];
  }

  /** offset, total: as of `planLinear` · gated: as of `LinearKernels.runGated` */
  product(
    context: GpuContext,
    w: GpuWeight,
    rows: number,
    { offset = 0, total = w.rows, gated = false } = {},
  ): LinearPlan {
    const found = this.#winners.get(productKey({ type: w.type, outputs: w.rows, cols: w.cols, rows, gated }))?.plan;
    const own = found as LinearPlan | undefined;
    if (own && (!gated || own.kernel === "rows") && canMultiply(context, w, own, rows, offset, total)) return own;
    if (gated) return { kernel: "rows", ...fewRows(context, w, rows, true) };
    return planLinear(context, w, rows, offset, total);
  }

  /** Winners for a layer, for `decode` and `prefill`; null where there are none. */
  ofLayer(layer: AttentionShape): LayerPlans | null {
    const found = <T>(shape: string): ByClass<T> => (this.#attention.get(shape) ?? new Map()) as ByClass<T>;
    const plans = {
      decode: found<DecodeTuning>(decodeShape(layer)),
      prefill: found<PrefillPlan>(prefillShape(layer)),
    };
    return plans.decode.size + plans.prefill.size > 0 ? plans : null;
  }

  /** keys: of the longest of the rows that are decoded together */
  decode(plans: LayerPlans | null, layer: AttentionShape, keys: number, rows: number): DecodeTuning {
    if (this.trial.decode) return this.trial.decode;
    if (!plans) return NO_TUNING;
    const at = decodeClass(layer, keys, rows);
    return plans.decode.get(at.keys)?.get(at.rows) ?? NO_TUNING;
  }

  /** start, count: of a span */
  prefill(
    plans: LayerPlans | null,
    layer: AttentionShape,
    span: { readonly start: number; readonly count: number },
    onMatrices: boolean,
  ): PrefillPlan {
    if (this.trial.prefill) return this.trial.prefill;
    if (plans) {
      const at = prefillClass(layer, span.start, span.count);
      const own = plans.prefill.get(at.keys)?.get(at.rows);
      const known = own && prefillSpace(layer, span.start, span.count, onMatrices);
      if (known?.some(({ rows, splits }) => rows === own!.rows && splits === own!.splits)) return own!;
    }
    return planPrefill(layer, span, onMatrices);
  }

  /** Numbers of rows up to `most` for which products have plans of their own, for the warm-up. */
  rowCounts(most: number): number[] {
    const counts = [...this.#winners.keys()].flatMap((key) => {
      const rows = /^product .*, (\d+) rows/.exec(key)?.[1];
      return rows === undefined ? [] : [Number(rows)];
    });
    return [...new Set(counts)].filter((rows) => rows < most);
  }
}
