/**
 * @file The unrolled parts of attend-portable.wgsl, decode attention without subgroups: each invocation scores a key, weights
 * are exchanged through workgroup memory, and all products are f32.
 */
import type { PageLayout, SideLayout } from "../../../quant/page-layout.ts";
import { FLOATS, loadUnits, rowScale } from "../codec/read-text.ts";
import {
  type DecodeSides,
  either,
  lines,
  placeText,
  productsText,
  range,
  type Stream,
  wordOf,
  wordsText,
} from "./attend-text.ts";
import { cappedText } from "./softcap-text.ts";

export interface PortableShape {
  /** Coordinates of keys, and of values. */
  readonly headDim: number;
  readonly valueDim: number;
  /** Of the rotary key parts of latent attention; 0 without them. */
  readonly rotaryKeyDim: number;
  /** Query heads of a KV head. */
  readonly group: number;
  /** Keys that are summed at the same time. */
  readonly keyGroups: number;
  /** The cap of scores, as in `AttentionLayer`. */
  readonly softcap: number;
}

export function portableAccumulators({ group }: PortableShape): string {
  return lines(
    range(group).flatMap((g) => [
      `var highest${g} = MASKED;`,
      `var sum${g} = 0.0;`,
      ...range(4).map((i) => `var acc${g}_${i} = vec2f();`),
    ]),
  );
}

/** WGSL expressions of the key that an invocation scores: its position, the last one that there is, and whether it counts. */
export interface PortableKey {
  readonly position: string;
  readonly last: string;
  readonly isRead: string;
}

/** The next key of a run of them. */
const NEXT: PortableKey = { position: "base + l", last: "high - 1u", isRead: "base + l >= low && base + l < high" };

/** Computes the scores of the invocation's key, `score0` …, and the factor of its value. */
export function portableScores(shape: PortableShape, sides: DecodeSides, key: PortableKey = NEXT): string {
  const { headDim, valueDim, rotaryKeyDim, group } = shape;
  const products = { headDim, group, keys: [key.position], last: key.last, lanes: 1, lane: "0u", half: false };
  return lines([
    `let is_read = ${key.isRead};`,
    "var value_scale = 1.0;",
    ...range(group).map((g) => `var score${g} = 0.0;`),
    either(sides, (stream) => {
      const place = { page: "page0", head: "kv_head", row: "row0" };
      const { k, v } = stream === "codes" ? sides.main : sides.residual!;
      const scaleText = (side: SideLayout): string =>
        rowScale(side, side === k ? headDim : valueDim, place, sides.arrays[stream].words) ?? "1.0";
      return lines([
        ...(rotaryKeyDim > 0 ? [rotaryText(shape, sides, stream, key)] : []),
        productsText(products, sides, stream),
        `let key_scale = ${scaleText(k)};`,
        `value_scale = ${scaleText(v)};`,
        ...range(group).map((g) => `score${g} ${rotaryKeyDim > 0 ? "+=" : "="} part0_${g} * key_scale;`),
      ]);
    }),
  ]);
}

/** The part of the scores that comes from the rotary key parts, floats that follow the other coordinates of queries. */
function rotaryText(
  { headDim, rotaryKeyDim, group }: PortableShape,
  sides: DecodeSides,
  stream: Stream,
  key: PortableKey,
): string {
  const asKeys = (layout: PageLayout): PageLayout => ({ ...layout, k: layout.rotaryKey! });
  const products = {
    headDim: rotaryKeyDim,
    firstPair: headDim / 2,
    group,
    keys: [key.position],
    last: key.last,
    lanes: 1,
    lane: "0u",
    half: false,
  };
  const ofWindow = { k: FLOATS, v: FLOATS };
  const parts = {
    ...sides,
    main: asKeys(sides.main),
    residual: sides.residual && asKeys(sides.residual),
    k: FLOATS,
    ofWindow,
  };
  return lines([
    "{",
    productsText(products, parts, stream),
    ...range(group).map((g) => `score${g} = part0_${g};`),
    "}",
  ]);
}

/** Turns scores into weights, relative to the highest score so far, and scales the earlier sums to it. */
export function portableSoftmax({ group, softcap }: PortableShape): string {
  return lines([
    "// Scores become weights relative to the highest score so far; what was summed before shrinks to it.",
    ...range(group).flatMap((g) => [
      `score${g} = select(MASKED, ${cappedText(softcap, `score${g}`)}, is_read);`,
      `let top${g} = max(highest${g}, highest_at_once(score${g}, l));`,
      `let shrink${g} = exp(highest${g} - top${g});`,
      `highest${g} = top${g};`,
      `let weight${g} = select(0.0, exp(score${g} - top${g}), is_read);`,
      `sum${g} = sum${g} * shrink${g} + weight${g};`,
      ...range(4).map((i) => `acc${g}_${i} *= shrink${g};`),
    ]),
    `weights[l] = ${wordsText(group, (g) => `bitcast<u32>(weight${g} * value_scale)`)};`,
  ]);
}

export function portableWeightedSum(shape: PortableShape, sides: DecodeSides): string {
  return either(sides, (stream) => (stream === "codes" ? codesSum(shape, sides) : copiesSum(shape, sides)));
}

/** Adds a value, four pairs of coordinates, times its weight for every head. */
export const addText = (value: (i: number) => string, weight: string, group: number): string[] =>
  range(group).flatMap((g) =>
    range(4).map(
      (i) => `acc${g}_${i} = fma(${value(i)}, vec2f(bitcast<f32>(${wordOf(weight, g, group)})), acc${g}_${i});`,
    ),
  );

function codesSum({ group, keyGroups }: PortableShape, { main, v, arrays }: DecodeSides): string {
  const place = { page: "page", head: "kv_head", row: "row", unit: "unit" };
  const { lines: loads, units, blocks } = loadUnits(main.v, v, place, 1, "v_", arrays.codes);
  const [block] = blocks;
  return lines([
    "for (var at = 0u; at < THREADS; at += PAGE_TOKENS) {",
    "if (base + at < high) {",
    "let page = (step[main_table + (base + at) / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;",
    "let last = min(high - 1u - base - at, PAGE_TOKENS - 1u);",
    `for (var n = 0u; n < PAGE_TOKENS; n += ${keyGroups}u) {`,
    "let row = min(key_group + n, last);",
    ...loads,
    ...(block ? [`let block = ${block};`] : []),
    "let weight = weights[at + key_group + n];",
    ...range(4).map((i) => `let value${i} = ${units[0]![i]}${block ? " * block" : ""};`),
    ...addText((i) => `value${i}`, "weight", group),
    "}",
    "}",
    "}",
  ]);
}

function copiesSum({ group, keyGroups }: PortableShape, { residual, ofWindow, arrays }: DecodeSides): string {
  const place = { page: "page_v", head: "kv_head", row: "row_v", unit: "unit" };
  const { lines: loads, units } = loadUnits(residual!.v, ofWindow.v, place, 1, "v_", arrays.copies);
  return lines([
    `for (var n = key_group; n < min(THREADS, high - base); n += ${keyGroups}u) {`,
    "let key = base + n;",
    placeText("copies", "_v", "key"),
    ...loads,
    "let weight = weights[n];",
    ...range(4).map((i) => `let value${i} = ${units[0]![i]};`),
    ...addText((i) => `value${i}`, "weight", group),
    "}",
  ]);
}

/** Adds up over the keys of the workgroup, and stores sums, maxima and weights. */
export function portableOutput({ group }: PortableShape): string {
  return lines([
    "// The sums are added up in workgroup memory, which has room for one head at a time.",
    ...range(group).flatMap((g) => [
      "if (l < SUM_THREADS) {",
      ...range(8).map((i) => `lut[${i}u * SUM_THREADS + l] = bitcast<u32>(acc${g}_${i >> 1}.${"xy"[i & 1]});`),
      "}",
      "workgroupBarrier();",
      `add_up((first_part + ${g}u) * total_splits + split, l);`,
      `let total${g} = total_at_once(sum${g}, l);`,
      "if (l == 0u) {",
      `stats[((first_part + ${g}u) * total_splits + split) * 2u] = highest${g};`,
      `stats[((first_part + ${g}u) * total_splits + split) * 2u + 1u] = total${g};`,
      "}",
    ]),
  ]);
}
