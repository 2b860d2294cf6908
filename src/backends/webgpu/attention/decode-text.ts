/**
 * @file The unrolled parts of attend-decode.wgsl, the kernel for single tokens on devices whose subgroups can exchange values.
 * `npx turboquant print-kernel attend-decode` shows the complete text.
 *
 * How it works. A workgroup has one row, one KV head with its query heads, and a part of the keys. Each of its subgroups walks
 * its keys in passes of `own` · SUBGROUP keys with a softmax of its own, so that it never waits for other subgroups:
 *
 * 1. `scoresText`: a lane owns `own` keys of the pass: it keeps their scores, weights and scales. A dot product is shared by
 *   `lanes` neighbours, each with a part of the coordinates. They exchange sums until each lane has those of its own keys. With
 *   one lane a key nothing is exchanged.
 * 2. `softmaxText`: the subgroup finds the highest score so far, scales the earlier sums to it, and turns scores into weights.
 * 3. `ownValues`: now a lane stands for coordinates instead of keys. It keeps sums of eight coordinates (a unit, or
 *   `unitsPerLane` units) for every query head, and reads the values of all keys of the pass. The owner of each key passes its
 *   weight, times the value's scale, by a shuffle. If a head has fewer units than there are lanes, `keyGroups` groups of lanes
 *   read different keys at the same time. `unroll` values are loaded at once, and the next ones while these are used.
 * 4. `outputText`: after the last pass the subgroups scale their sums to a common highest score and add them in workgroup memory.
 *
 * Everything is written for codes and, where the format has them, again for sinks and window, whose parts come first.
 *
 * Codes are multiplied in f16 where the device has it: queries and weights are scaled to at most 1 first, and the sums of a
 * pass are converted to f32. 16-bit copies and raw floats can have any magnitude, so they are multiplied in f32.
 *
 * Names in the text end in numbers: `score<own>_<head>`, `acc<unit>_<head>_<pair of coordinates>`.
 */

import type { SideLayout } from "../../../quant/page-layout.ts";
import { loadUnits, rowScale } from "../codec/read-text.ts";
import { wgslCodecs } from "../codec/registry.ts";
import { floatText } from "../queue/shader-text.ts";
import {
  type DecodeSides,
  either,
  lines,
  placeText,
  productsText,
  range,
  type Stream,
  wordsText,
} from "./attend-text.ts";
import { cappedText } from "./softcap-text.ts";

export interface DecodeShape {
  /** Coordinates of keys, and of values. */
  readonly headDim: number;
  readonly valueDim: number;
  /** Query heads of a KV head. */
  readonly group: number;
  /** Lanes in a subgroup. */
  readonly subgroup: number;
  /** Lanes that score a key together. */
  readonly lanes: 1 | 2 | 4;
  /** Lanes that score a key together when it is read as a 16-bit copy. */
  readonly copyLanes: 1 | 2 | 4;
  /** Keys that a lane owns in a pass. Many spread the cost of a pass; few need fewer registers and suit short contexts. */
  readonly own: 1 | 2 | 4;
  /** Keys that a subgroup sums at the same time, and units of eight coordinates that a lane keeps. One of the two is 1. */
  readonly keyGroups: number;
  readonly unitsPerLane: number;
  /** Keys whose values are loaded before the first one is used. */
  readonly unroll: number;
  /** Whether the next values are loaded while these are used. */
  readonly prefetch: boolean;
  /** The cap of scores, as in `AttentionLayer`. */
  readonly softcap: number;
  /** Whether codes of K, and of V, are multiplied in f16. */
  readonly halfK: boolean;
  readonly halfV: boolean;
}

/** Bound for the weights in a pass of f16 products: their sum times the centroids stays far below 65504. */
const WEIGHT_SUM = 8192;

const accumulators = ({ group, unitsPerLane }: DecodeShape): { u: number; g: number; i: number; name: string }[] =>
  range(unitsPerLane).flatMap((u) =>
    range(group).flatMap((g) => range(4).map((i) => ({ u, g, i, name: `${u}_${g}_${i}` }))),
  );

export function accumulatorsText(shape: DecodeShape): string {
  return lines([
    ...range(shape.unitsPerLane).map((u) => `let unit${u} = min(lane % UNITS + ${u}u * SUBGROUP, UNITS - 1u);`),
    ...range(shape.group).flatMap((g) => [`var highest${g} = MASKED;`, `var sum${g} = 0.0;`]),
    ...accumulators(shape).map(({ name }) => `var acc${name} = vec2f();`),
  ]);
}

/** The query as f16, scaled to at most 1, and the factor it was divided by. */
export function queryText({ group }: DecodeShape): string {
  return `// The query is kept as f16 of at most 1; query_scale is what it was divided by.
  for (var round = 0u; round < GROUP; round += SUBGROUPS) {
    let g = min(round + l / SUBGROUP, GROUP - 1u);
    var top = 0.0;
    for (var i = l % SUBGROUP; i < PAIRS; i += SUBGROUP) {
      let pair = abs(query[(first_head + g) * PAIRS + i]);
      top = max(top, max(pair.x, pair.y));
    }
    top = subgroupMax(top);
    if (l % SUBGROUP == 0u) {
      tops[g] = top;
    }
  }
  workgroupBarrier();
  ${lines(range(group).map((g) => `let query_scale${g} = tops[${g}];\n  let factor${g} = select(1.0 / query_scale${g}, 0.0, query_scale${g} == 0.0);`))}
  for (var i = l; i < PAIRS; i += THREADS) {
    half_query[i] = ${wordsText(group, (g) => `bitcast<u32>(vec2<f16>(query[(first_head + ${g}u) * PAIRS + i] * factor${g}))`)};
  }`;
}

/** A pass over `own` keys for each lane, of codes or of copies. */
export function passText(shape: DecodeShape, sides: DecodeSides): string {
  return either(sides, (stream) => (stream === "codes" ? keysText(shape, sides, stream) : copiesText(shape, sides)));
}

/**
 * The same keys of a pass, SUBGROUP after SUBGROUP: there are few of them, and a kernel takes as many registers as its hungriest part,
 * which should be that of the codes.
 */
function copiesText(shape: DecodeShape, sides: DecodeSides): string {
  const text = keysText({ ...shape, lanes: shape.copyLanes, own: 1 }, sides, "copies");
  if (shape.own === 1) return text;
  return lines(["for (var turn = 0u; turn < OWN; turn++) {", "let base = base + turn * SUBGROUP;", text, "}"]);
}

function keysText(shape: DecodeShape, sides: DecodeSides, stream: Stream): string {
  const half = stream === "codes" && shape.halfV;
  const values = range(shape.own).map((own) => ownValues(shape, sides, stream, own));
  const isWhole = values.every(({ loop }) => loop === null);
  return lines([
    ...(isWhole && stream === "codes" ? [values[0]!.loads] : []),
    scoresText(shape, sides, stream),
    softmaxText(shape, half),
    // The addresses of copies become known only while the copies are scored.
    ...(isWhole && stream === "copies" ? [values[0]!.loads] : []),
    ...(half ? accumulators(shape).map(({ name }) => `var half${name} = vec2<f16>();`) : []),
    ...values.map(({ loop, loads, sums, given }, own) =>
      loop
        ? lines(["{", given, loop, loads, sums, "}", "}"])
        : // The next values are under way while these are used.
          lines([values[own + 1]?.loads ?? "", "{", given, sums, "}"]),
    ),
    ...(half ? accumulators(shape).map(({ name }) => `acc${name} += vec2f(half${name}) * unscale;`) : []),
  ]);
}

/** Scores of the keys that the lane owns, `score<own>_<head>`, and the factors of K and V for their weights. */
function scoresText(shape: DecodeShape, sides: DecodeSides, stream: Stream): string {
  const { group, headDim, valueDim, own } = shape;
  const { k, v } = stream === "codes" ? sides.main : sides.residual!;
  const scaleText = (side: SideLayout, o: number): string | null =>
    rowScale(
      side,
      side === k ? headDim : valueDim,
      { page: `page_own${o}`, head: "kv_head", row: `row_own${o}` },
      sides.arrays[stream].words,
    );
  const hasScales = scaleText(k, 0) !== null || scaleText(v, 0) !== null;
  return lines([
    "// A lane looks up where the keys that it owns are, and the scales of their rows.",
    `let own_at = ${perm("lane", shape)};`,
    ...range(own).flatMap((o) => [
      `let own${o} = base + ${o}u * SUBGROUP + own_at;`,
      `let is_read${o} = own${o} >= low && own${o} < high;`,
      ...(hasScales || stream === "copies"
        ? [`let own_key${o} = min(own${o}, high - 1u);`, placeText(stream, `_own${o}`, `own_key${o}`)]
        : []),
      // The address of the key's value is looked up once, for all lanes that will read it.
      ...(stream === "copies"
        ? [`let where${o} = page_own${o} + row_own${o} * ${sides.residual!.v.planes[0]!.rowBytes}u;`]
        : []),
      `let key_scale${o} = ${scaleText(k, o) ?? "1.0"};`,
      `let value_scale${o} = ${scaleText(v, o) ?? "1.0"};`,
      ...range(group).map((g) => `var score${o}_${g} = 0.0;`),
    ]),
    ...range((own * shape.lanes) / roundKeys(shape)).map((n) => `{\n${roundText(shape, sides, stream, n)}\n}`),
  ]);
}

/** Keys that a lane works on at the same time. */
const roundKeys = ({ own, lanes }: DecodeShape): number => (lanes === 1 ? own : Math.min(4, own * lanes));

/** One round scores as many keys as a lane has registers for; the lanes that share a key score it together. */
function roundText(shape: DecodeShape, sides: DecodeSides, stream: Stream, round: number): string {
  const { headDim, group, subgroup, lanes, halfK } = shape;
  const count = roundKeys(shape);
  const apart = subgroup / lanes;
  const keys = range(count).map((n) => `base + ${(round * count + n) * apart}u + lane / ${lanes}u`);
  const half = stream === "codes" && halfK;
  const done = (g: number): string => (half ? ` * query_scale${g}` : "");
  const take = (own: number, g: number, value: string): string =>
    `score${own}_${g} = ${value} * key_scale${own}${done(g)};`;
  const swap = (a: string, b: string, bit: number): string =>
    `(select(${a}, ${b}, (lane & ${bit}u) != 0u) + subgroupShuffleXor(select(${b}, ${a}, (lane & ${bit}u) != 0u), ${bit}u))`;
  return lines([
    productsText(
      { headDim, group, keys, last: "high - 1u", lanes, lane: `lane % ${lanes}u`, half: halfK },
      sides,
      stream,
    ),
    ...(lanes > 1 ? ["// Neighbours swap sums until each has those of the keys that it owns."] : []),
    ...range(group).flatMap((g) => {
      const part = (n: number): string => `part${n}_${g}`;
      if (lanes === 1) return range(count).map((o) => take(o, g, part(o)));
      if (lanes === 2) {
        const pairs = count / 2;
        return range(pairs).map((p) => take(pairs * round + p, g, swap(part(2 * p), part(2 * p + 1), 1)));
      }
      return [
        `let low${g} = ${swap(part(0), part(1), 1)};`,
        `let high${g} = ${swap(part(2), part(3), 1)};`,
        take(round, g, swap(`low${g}`, `high${g}`, 2)),
      ];
    }),
  ]);
}

/** Turns scores into weights `weight<own>_<head>`, relative to the highest score so far, and scales the earlier sums to it. */
function softmaxText(shape: DecodeShape, half: boolean): string {
  const { group, keyGroups, subgroup, softcap } = shape;
  const owns = range(shape.own);
  const perLane = (subgroup * shape.own) / keyGroups;
  const most = (terms: readonly string[]): string => terms.reduce((a, b) => `max(${a}, ${b})`);
  return lines([
    "// Scores become weights relative to the highest score so far; what was summed before shrinks to it.",
    ...range(group).flatMap((g) => [
      ...owns.map((o) => `score${o}_${g} = select(MASKED, ${cappedText(softcap, `score${o}_${g}`)}, is_read${o});`),
      `let top${g} = max(highest${g}, subgroupMax(${most(owns.map((o) => `score${o}_${g}`))}));`,
      `let shrink${g} = exp(highest${g} - top${g});`,
      `highest${g} = top${g};`,
      ...owns.map((o) => `let weight${o}_${g} = select(0.0, exp(score${o}_${g} - top${g}), is_read${o});`),
      `sum${g} = sum${g} * shrink${g} + (${owns.map((o) => `weight${o}_${g}`).join(" + ")});`,
    ]),
    ...accumulators(shape).map(({ g, name }) => `acc${name} *= shrink${g};`),
    ...(half
      ? [
          "// `part` brings weights times scales into the range of f16, and `unscale` undoes that.",
          ...owns.map((o) => `let size${o} = select(0.0, abs(value_scale${o}), is_read${o});`),
          `let peak = subgroupMax(${most(owns.map((o) => `size${o}`))});`,
          `let unscale = peak * ${floatText(perLane / WEIGHT_SUM)};`,
          `let part = select(1.0 / peak * ${floatText(WEIGHT_SUM / perLane)}, 0.0, peak == 0.0);`,
        ]
      : []),
  ]);
}

interface OwnValues {
  /** Head of a loop over the keys; null when all are loaded at once. */
  readonly loop: string | null;
  readonly loads: string;
  /** Statements in which lanes exchange values. */
  readonly given: string;
  readonly sums: string;
}

/** Sums the values of those keys that are number `own` of their lanes. */
function ownValues(
  shape: DecodeShape,
  { main, residual, v, ofWindow, arrays }: DecodeSides,
  stream: Stream,
  own: number,
): OwnValues {
  const { group, subgroup, keyGroups, unitsPerLane } = shape;
  const half = stream === "codes" && shape.halfV;
  const side = stream === "codes" ? main.v : residual!.v;
  const codec = wgslCodecs.of(side.side);
  const use = stream === "codes" ? v : ofWindow.v;
  const steps = subgroup / keyGroups;
  const unroll = Math.min(shape.unroll, steps);
  const isWhole = unroll === steps;
  const isPrefetched = shape.prefetch && stream === "codes" && !isWhole && side.planes[0]!.width < 16;
  const heads = range(group);
  // Two f16 weights share one word.
  const words = half ? range(Math.ceil(group / 2)) : heads;
  const weight = (g: number): string => `weight${own}_${g}`;
  const packed = (w: number): string =>
    `bitcast<u32>(vec2<f16>(vec2f(${weight(2 * w)}, ${2 * w + 1 < group ? weight(2 * w + 1) : "0.0"}) * (part * value_scale${own})))`;
  // Codes of keys after the last one exist in the page and get weight 0. Scales of blocks and floats there may be infinite, so
  // the last valid key is read instead.
  const place = (from: string): string => {
    const key = perm(from, shape);
    return `start${own} % PAGE_TOKENS + ${codec.isBounded ? key : `min(${key}, last${own})`}`;
  };
  const load = (prefix: string, id: string, row: string) =>
    range(unitsPerLane).map((u) => {
      const at =
        stream === "codes"
          ? { page: `page_v${own}`, head: "kv_head", row, previous: codec.isChained ? `previous${id}_${u}` : undefined }
          : { page: `page${id}`, head: "kv_head", row: "0u" };
      return loadUnits(side, use, { ...at, unit: `unit${u}` }, 1, `${prefix}${id}_${u}_`, arrays[stream]);
    });
  const keys = range(unroll).map((n) => {
    const id = `${own}_${n}`;
    const from = `${isWhole ? "" : "at + "}${n * keyGroups}u + key_group`;
    return { n, id, from, units: load("v", id, `row${id}`), ahead: load("n", id, `next${id}`) };
  });
  const loads = keys.flatMap(({ id, from, units, ahead }) => [
    `let from${id} = ${from};`,
    ...(stream === "codes"
      ? [`let row${id} = ${place(`from${id}`)};`]
      : [`let page${id} = subgroupShuffle(where${own}, from${id});`]),
    ...units.flatMap(({ lines, words, blocks: [block] }, u) => [
      ...(isPrefetched ? words.map((word, i) => `let ${word} = ahead_${ahead[u]!.words[i]};`) : lines),
      ...(block ? [`let block${id}_${u} = ${block};`] : []),
    ]),
  ]);
  // The values of the keys from `after` on are loaded into variables that live across iterations of the loop.
  const loadAhead = (after: string): string[] =>
    keys.flatMap(({ n, id, ahead }) => [
      "{",
      `let next${id} = ${place(`(${after}${n * keyGroups}u + key_group)`)};`,
      ...ahead.flatMap(({ lines, words }) => [...lines, ...words.map((word) => `ahead_${word} = ${word};`)]),
      "}",
    ]);
  const stride = unroll * keyGroups;
  const first = [
    ...keys.flatMap(({ ahead }) => ahead.flatMap(({ words }) => words.map((word) => `var ahead_${word} = 0u;`))),
    ...loadAhead(""),
  ];
  const fetch = loadAhead(`min(at + ${stride}u, ${subgroup - stride}u) + `);
  const sums = keys.flatMap(({ id, units }) => [
    ...words.map((w) => {
      const word = `subgroupShuffle(given${w}, from${id})`;
      return `let word${id}_${w} = ${half ? `bitcast<vec2<f16>>(${word})` : word};`;
    }),
    ...units.flatMap(({ units: pairs, words: [word], blocks: [block] }, u) => [
      // Neighbouring lanes have neighbouring units, so the code before a unit comes from the lane before.
      ...(codec.isChained
        ? [`let previous${id}_${u} = select(0u, subgroupShuffleUp(${word}, 1u), unit${u} % 4u > 0u);`]
        : []),
      ...range(4).map((i) => `let value${id}_${u}_${i} = ${pairs[0]![i]}${block ? ` * block${id}_${u}` : ""};`),
      ...heads.flatMap((g) => {
        const factor = half ? `vec2<f16>(word${id}_${g >> 1}.${"xy"[g & 1]})` : `vec2f(word${id}_${g})`;
        const sum = `${half ? "half" : "acc"}${u}_${g}`;
        return range(4).map((i) => `${sum}_${i} = fma(value${id}_${u}_${i}, ${factor}, ${sum}_${i});`);
      }),
    ]),
  ]);
  const start = [
    `let start${own} = min(base + ${own}u * SUBGROUP, (high - 1u) / SUBGROUP * SUBGROUP);`,
    `let page_v${own} = (step[main_table + start${own} / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;`,
    `let last${own} = high - 1u - start${own};`,
  ];
  const given = words.map((w) => `let given${w} = ${half ? packed(w) : `${weight(w)} * value_scale${own}`};`);
  const head = stream === "codes" ? [...start, ...(isPrefetched ? first : [])] : [];
  return {
    loop: isWhole ? null : lines([...head, `for (var at = 0u; at < SUBGROUP; at += ${stride}u) {`]),
    loads: lines([
      ...(isWhole ? head : []),
      "// The words of the values are loaded.",
      ...loads,
      ...(isPrefetched ? ["// The words of the next keys are under way while these are used.", ...fetch] : []),
    ]),
    given: lines(["// The owners of the keys hand out their weights, times the scales of the values.", ...given]),
    sums: lines(["// A lane adds to the weighted sums of its coordinates.", ...sums]),
  };
}

/** Which of the SUBGROUP keys a lane owns. */
const perm = (lane: string, { lanes, subgroup }: DecodeShape): string =>
  lanes === 1 ? lane : `(${lane} % ${lanes}u * ${subgroup / lanes}u + ${lane} / ${lanes}u)`;

/** Joins the subgroups, adds up over their keys, and stores sums, maxima and weights. */
export function outputText(shape: DecodeShape): string {
  const { group, unitsPerLane } = shape;
  const heads = range(group);
  return lines([
    "// The subgroups agree on their highest score.",
    "workgroupBarrier();",
    "if (lane == 0u) {",
    ...heads.map((g) => `tops[${g}u * SUBGROUPS + l / SUBGROUP] = highest${g};`),
    "}",
    ...heads.map((g) => `var most${g} = MASKED;`),
    "workgroupBarrier();",
    "for (var i = 0u; i < SUBGROUPS; i++) {",
    ...heads.map((g) => `most${g} = max(most${g}, tops[${g}u * SUBGROUPS + i]);`),
    "}",
    "workgroupBarrier();",
    "// The sums of the lanes are added up in workgroup memory, which has room for one head at a time.",
    ...heads.flatMap((g) => [
      `let shrink${g} = exp(highest${g} - most${g});`,
      `let total${g} = subgroupAdd(sum${g} * shrink${g});`,
      `if (lane == 0u) { tops[${g}u * SUBGROUPS + l / SUBGROUP] = total${g}; }`,
      "if (lane < SUM_LANES) {",
      ...range(unitsPerLane).flatMap((u) =>
        range(8).map(
          (i) =>
            `if (lane % UNITS + ${u}u * SUBGROUP < UNITS) { lut[${i}u * SUM_SLOTS + slot + ${u}u * SUBGROUP] = bitcast<u32>(acc${u}_${g}_${i >> 1}.${"xy"[i & 1]} * shrink${g}); }`,
        ),
      ),
      "}",
      "workgroupBarrier();",
      `add_up((first_part + ${g}u) * total_splits + split, l);`,
      `if (l == 0u) { leave_stats((first_part + ${g}u) * total_splits + split, most${g}, ${g}u); }`,
      "workgroupBarrier();",
    ]),
  ]);
}
