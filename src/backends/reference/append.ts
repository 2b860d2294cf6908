/** @file Appends the keys and values of a step: norm, RoPE, calibration, rotation, quantization, storing. */

import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { PageAddress } from "../../cache/page-storage.ts";
import { dimOf } from "../../quant/page-regions.ts";
import { Recoder, type RowPlace } from "../../quant/recoder.ts";
import { headCalibrations, RowCodec } from "../../quant/row-codec.ts";
import { windowSide } from "../../quant/window-side.ts";
import { storeFullPages } from "../full-pages.ts";
import type { AttentionLayer, Rope, Span, Step } from "../ops.ts";
import { qkvWidth } from "../qkv-width.ts";
import { growthAt } from "../query-growth.ts";
import { ropeOfRow } from "../rope-of-row.ts";

function normHead(x: Float32Array, weight: Float32Array, eps: number): void {
  let sum = 0;
  for (const value of x) sum += value * value;
  const inverse = 1 / Math.sqrt(sum / x.length + eps);
  for (let i = 0; i < x.length; i++) x[i] = x[i]! * inverse * weight[i]!;
}

/** Rotates the pairs (i, i + headDim/2) by position · invFreq[i]; those with a frequency of 0 stay as they are. */
export function applyRope(x: Float32Array, position: number, rope: Rope): void {
  const half = x.length / 2;
  for (let i = 0; i < half; i++) {
    // A pair that is not turned is multiplied like the others, by 1 and 0: kernels do so, and infinities give the same NaN.
    const factor = rope.invFreq[i] === 0 ? 1 : rope.attentionFactor;
    const angle = position * rope.invFreq[i]!;
    const cos = Math.cos(angle) * factor;
    const sin = Math.sin(angle) * factor;
    const [a, b] = [x[i]!, x[i + half]!];
    x[i] = a * cos - b * sin;
    x[i + half] = b * cos + a * sin;
  }
}

/** A head of Q or K, normed before it is turned, or behind that. */
function normAndTurn(
  x: Float32Array,
  norm: Float32Array | null,
  layer: AttentionLayer,
  position: number,
  rope: Rope,
): void {
  if (norm && !layer.normsTurned) normHead(x, norm, layer.normEps);
  applyRope(x, position, rope);
  if (norm && layer.normsTurned) normHead(x, norm, layer.normEps);
}

/** See `Ops.appendKv`. */
export function appendKv(
  storage: MemoryPageStorage,
  step: Step,
  layer: AttentionLayer,
  layerRope: Rope,
  norms: { readonly q: Float32Array | null; readonly k: Float32Array | null; readonly v: Float32Array | null },
  qkv: Float32Array,
  q: Float32Array,
): void {
  const { numHeads, numKvHeads, headDim: d, valueDim, index } = layer;
  const { format } = layer.kv;
  const valuesAt = (numHeads + numKvHeads) * d;
  const width = qkvWidth(layer);
  const numStored = layer.isShared ? 0 : numKvHeads;
  const kCodec = new RowCodec(format.k, format, d);
  const vCodec = new RowCodec(format.v, format, valueDim);
  const [kCopies, vCopies] = [d, valueDim].map((dim) => new RowCodec(windowSide(format), format, dim)) as [
    RowCodec,
    RowCodec,
  ];
  const keyConstants = headCalibrations(layer.kv, "k");
  const valueConstants = headCalibrations(layer.kv, "v");

  for (const span of step.spans) {
    const { main, residual } = span.sequence.cache.layers[index]!;
    const isAlone = residual?.isAlone ?? false;
    for (let n = 0; n < span.count; n++) {
      const row = span.row + n;
      const position = span.start + n;
      const base = row * width;
      const address = span.sequence.main(index).get(Math.floor(position / main.pageTokens));
      const residualAddress = residual
        ? span.sequence.residual(index).get(Math.floor(position / residual.layout.pageTokens))
        : 0;

      const rope = ropeOfRow(layerRope, row);
      for (let h = 0; h < numStored; h++) {
        const k = qkv.slice(base + (numHeads + h) * d, base + (numHeads + h + 1) * d);
        const v = qkv.slice(base + valuesAt + h * valueDim, base + valuesAt + (h + 1) * valueDim);
        normAndTurn(k, norms.k, layer, position, rope);
        if (norms.v) normHead(v, norms.v, layer.normEps);
        const [ofKey, ofValue] = [keyConstants(h), valueConstants(h)];
        kCodec.prepare(k, ofKey);
        vCodec.prepare(v, ofValue);
        if (!isAlone) {
          const page = storage.bytes(address);
          kCodec.write(k, page, main, "k", h, position % main.pageTokens, ofKey?.feedback);
          vCodec.write(v, page, main, "v", h, position % main.pageTokens, ofValue?.feedback);
        }
        if (residual && residualAddress) {
          const residualPage = storage.bytes(residualAddress);
          kCopies.write(
            k,
            residualPage,
            residual.layout,
            "k",
            h,
            position % residual.layout.pageTokens,
            ofKey?.feedback,
          );
          vCopies.write(
            v,
            residualPage,
            residual.layout,
            "v",
            h,
            position % residual.layout.pageTokens,
            ofValue?.feedback,
          );
        }
      }
      for (let h = 0; h < numHeads; h++) {
        const query = qkv.slice(base + h * d, base + (h + 1) * d);
        normAndTurn(query, norms.q, layer, position, rope);
        kCodec.prepareQuery(query, keyConstants(Math.floor(h / (numHeads / numKvHeads))));
        const { queryGrowth } = layerRope;
        const scale = queryGrowth ? layer.scale * growthAt(queryGrowth, position) : layer.scale;
        for (let i = 0; i < d; i++) q[(row * numHeads + h) * d + i] = query[i]! * scale;
      }
    }
  }
  if (!layer.isShared) {
    for (const span of step.spans) {
      recodePassed(storage, span, layer);
      coarsenAged(storage, span, layer);
    }
  }
  if (!layer.isShared) storeFullPages(step, layer, (address) => storage.bytes(address));
}

/** Writes the codes of the tokens that a window which stands alone has passed in this step. */
function recodePassed(storage: MemoryPageStorage, { sequence, start, count }: Span, layer: AttentionLayer): void {
  const { index, kv } = layer;
  const { main, residual } = sequence.cache.layers[index]!;
  if (!residual?.isAlone) return;
  const state = sequence.kv(index);
  const end = state.codedTokens(start + count);
  const placeOf = (address: number, layout: RowPlace["layout"], position: number): RowPlace => ({
    page: storage.bytes(address),
    layout,
    row: position % layout.pageTokens,
  });
  for (const side of ["k", "v"] as const) {
    const recoder = new Recoder(windowSide(kv.format), kv.format[side], kv.format, side, dimOf(kv, side));
    const constants = headCalibrations(kv, side);
    for (let position = state.codedTokens(start); position < end; position++) {
      const to = state.main.get(Math.floor(position / main.pageTokens));
      const from = state.residual.get(Math.floor(position / residual.layout.pageTokens));
      // Where a sliding window is shorter than the residual one, no query reads the codes.
      if (!to || !from) continue;
      for (let head = 0; head < main.numKvHeads; head++) {
        const feedback = constants(head)?.feedback ?? null;
        recoder.recode(placeOf(from, residual.layout, position), placeOf(to, main, position), head, feedback);
      }
    }
  }
}

/** Codes pages anew that become old enough for a coarser tier in this step, tier after tier, from the codes that the tier before has. */
function coarsenAged(storage: MemoryPageStorage, { sequence, start, count }: Span, layer: AttentionLayer): void {
  const { main, reach, tiers } = sequence.cache.layers[layer.index]!;
  const state = sequence.kv(layer.index);
  for (const tier of tiers.keys()) {
    const [finer, coarser] = [state.tiers[tier - 1] ?? state.main, state.tiers[tier]!];
    const first = Math.max(state.tierPages(tier, start), reach.firstPage(start, main.pageTokens));
    for (let page = first; page < state.tierPages(tier, start + count); page++) {
      coarsen(storage, layer, tier, finer.get(page), coarser.get(page));
    }
  }
}

/** See `Ops.coarsen`. */
export function coarsen(
  storage: MemoryPageStorage,
  { kv, cache }: AttentionLayer,
  tier: number,
  from: PageAddress,
  to: PageAddress,
): void {
  const { format } = kv;
  const all = [
    { ...format, layout: cache.main },
    ...cache.tiers.map(({ layout }, i) => ({ ...format.tiers![i]!, layout })),
  ];
  const [source, target] = [all[tier]!, all[tier + 1]!];
  const [fromPage, toPage] = [storage.bytes(from), storage.bytes(to)];
  for (const side of ["k", "v"] as const) {
    const recoder = new Recoder(source[side], target[side], format, side, dimOf(kv, side));
    const constants = headCalibrations(kv, side);
    for (let head = 0; head < source.layout.numKvHeads; head++) {
      const feedback = constants(head)?.feedback ?? null;
      for (let row = 0; row < source.layout.pageTokens; row++) {
        const [own, next] = [
          { page: fromPage, layout: source.layout, row },
          { page: toPage, layout: target.layout, row },
        ];
        recoder.recode(own, next, head, feedback);
      }
    }
  }
}
