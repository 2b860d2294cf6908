/** @file The plans that attention is chosen from: by rule, or by the tuner. */
import { nameOf } from "../../../quant/codecs/registry.ts";
import type { AttentionLayer } from "../../ops.ts";
import type { DecodeTuning } from "../attention/decode-attention.ts";
import { MATRIX_ROWS, type PrefillPlan, planPrefill } from "../attention/prefill-plan.ts";
import { TILE } from "../linear/panel-text.ts";
import { rowClass } from "./product-choice.ts";

/** What kernels of a layer depend on. */
export type AttentionShape = Pick<
  AttentionLayer,
  "numHeads" | "numKvHeads" | "headDim" | "valueDim" | "rotaryKeyDim" | "softcap" | "slidingWindow"
> & { readonly kv: Pick<AttentionLayer["kv"], "format"> };

/** Contexts within a factor of the root of two of a power of two have one plan. */
const keyClass = (keys: number): number => 2 ** Math.round(Math.log2(Math.max(1, keys)));

function shapeKey({ numHeads, numKvHeads, headDim, valueDim, rotaryKeyDim, softcap, kv: { format } }: AttentionShape) {
  const { k, v, window, sinks, windowBits = 16 } = format;
  const width = `${headDim}${rotaryKeyDim > 0 ? `+${rotaryKeyDim}` : ""}${valueDim === headDim ? "" : `/${valueDim}`}`;
  const copies = window + sinks > 0 ? ` ${sinks}+${window} in ${windowBits} bits` : "";
  return `K ${nameOf(k)} V ${nameOf(v)}${copies}, ${numHeads}/${numKvHeads} heads of ${width}${softcap > 0 ? ", capped" : ""}`;
}

/** Keys that a row reads of so many. */
const readKeys = ({ slidingWindow }: AttentionShape, keys: number): number =>
  slidingWindow > 0 ? Math.min(keys, slidingWindow) : keys;

export const decodeClass = (layer: AttentionShape, keys: number, rows: number) => ({
  keys: keyClass(readKeys(layer, keys)),
  rows: rowClass(rows),
});

const keyOf = (shape: string, keys: number, rows: number): string => `${shape}, ${keys} keys, ${rows} rows`;

/** What a key says of attention: the layer's shape, as of `decodeShape` or `prefillShape`, and the classes; null for a product's. */
export function partsOfKey(
  key: string,
): { readonly shape: string; readonly keys: number; readonly rows: number } | null {
  const [, shape, keys, rows] = /^(attention of .*), (\d+) keys, (\d+) rows$/.exec(key) ?? [];
  return shape === undefined ? null : { shape, keys: Number(keys), rows: Number(rows) };
}

export const decodeShape = (layer: AttentionShape): string => `attention of tokens ${shapeKey(layer)}`;

/** keys, rows: as of `decodeClass` */
export const decodeKey = (layer: AttentionShape, keys: number, rows: number): string =>
  keyOf(decodeShape(layer), keys, rows);

export const prefillClass = (layer: AttentionShape, start: number, count: number) => ({
  keys: keyClass(layer.slidingWindow > 0 ? Math.min(start + count, layer.slidingWindow + count) : start + count),
  rows: Math.ceil(count / TILE) * TILE,
});

export const prefillShape = (layer: AttentionShape): string => `attention of spans ${shapeKey(layer)}`;

/** keys, rows: as of `prefillClass` */
export const prefillKey = (layer: AttentionShape, keys: number, rows: number): string =>
  keyOf(prefillShape(layer), keys, rows);

/** What each setting of decode attention may be. Workgroups are at most as many as memory plans count on. */
export const DECODE_SETTINGS = {
  own: [1, 2, 4],
  threads: [64, 128, 256],
  targetGroups: [132, 264, 396, 528, 792, 1056],
  unroll: [4, 8, 16],
  lanes: [1, 2, 4],
  copies: [1, 4, 8],
  heads: [2, 4, 8],
} as const satisfies { readonly [K in keyof Required<DecodeTuning>]: readonly DecodeTuning[K][] };

const SETTINGS = Object.keys(DECODE_SETTINGS) as (keyof DecodeTuning)[];

/** Settings that differ from these in one. Heads beyond those of a KV head are none. */
export function decodeNeighbours(
  { numHeads, numKvHeads }: Pick<AttentionLayer, "numHeads" | "numKvHeads">,
  from: DecodeTuning,
): DecodeTuning[] {
  return SETTINGS.flatMap((name) =>
    DECODE_SETTINGS[name]
      .filter((value) => value !== from[name] && (name !== "heads" || value <= numHeads / numKvHeads))
      .map((value): DecodeTuning => ({ ...from, [name]: value })),
  );
}

export const decodeName = (tuning: DecodeTuning): string =>
  SETTINGS.filter((name) => tuning[name] !== undefined)
    .map((name) => `${name} ${tuning[name]}`)
    .join(", ") || "by rule";

/** Plans of a span with at most the parts of the rule: more would take memory that nobody counts on. */
export function prefillSpace(layer: AttentionShape, start: number, count: number, onMatrices: boolean): PrefillPlan[] {
  const { splits: most } = planPrefill(layer, { start, count }, onMatrices);
  const parts = Array.from({ length: most }, (_, i) => i + 1);
  const tiles: readonly PrefillPlan["rows"][] = onMatrices ? [MATRIX_ROWS] : [32, 64];
  return tiles.flatMap((rows) => parts.map((splits) => ({ rows, splits })));
}

export const prefillName = ({ rows, splits }: PrefillPlan): string => `tiles of ${rows} rows, ${splits} parts`;
