/** @file Appends the rows of latent attention: rotation, quantization, storing, and the rotary parts beside them. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { codecOf } from "../../quant/codecs/registry.ts";
import type { PageLayout } from "../../quant/page-layout.ts";
import { RowCodec } from "../../quant/row-codec.ts";
import { sanitize } from "../../quant/sanitize.ts";
import { windowSide } from "../../quant/window-side.ts";
import type { AttentionLayer, Rope, Step } from "../ops.ts";
import { ropeOfRow } from "../rope-of-row.ts";
import { rowSpans } from "../row-spans.ts";
import { applyRope } from "./append.ts";

/** The rotary parts as the keys of a page, which codecs of floats read and write. */
export const rotaryKeys = (layout: PageLayout): PageLayout => ({ ...layout, k: layout.rotaryKey! });

/** See `Ops.appendLatent`. */
export function appendLatent(
  storage: MemoryPageStorage,
  step: Step,
  layer: AttentionLayer,
  layerRope: Rope,
  latent: Float32Array,
  q: Float32Array,
): void {
  const { numHeads, headDim: d, rotaryKeyDim, index, tokensPerRow = 1 } = layer;
  const { format } = layer.kv;
  const width = d + rotaryKeyDim;
  const [codec, copies] = [format.k, windowSide(format)].map((side) => new RowCodec(side, format, d)) as [
    RowCodec,
    RowCodec,
  ];
  const { main, residual } = layer.cache;
  const rotarySide = main.rotaryKey!.side;
  const [apart, apartCopies] =
    rotaryKeyDim > 0
      ? [rotarySide, windowSide(format)].map((side) => new RowCodec(side, format, rotaryKeyDim))
      : [null, null];
  for (const [i, stored] of rowSpans(step.spans, tokensPerRow).entries()) {
    const { start, row: firstRow } = step.spans[i]!;
    for (let n = 0; n < stored.count; n++) {
      const [row, place] = [stored.row + n, stored.start + n];
      // The row of the token that the stored one ends with.
      const rope = ropeOfRow(layerRope, firstRow + (place + 1) * tokensPerRow - 1 - start);
      const values = latent.slice(row * width, row * width + d);
      const part = latent.slice(row * width + d, (row + 1) * width);
      codec.prepare(values);
      applyRope(part, place * tokensPerRow, rope);
      sanitize(part, codecOf(format.k).largestOf(format.k));
      const put = (address: number, layout: PageLayout, rows: RowCodec, parts: RowCodec | null | undefined): void => {
        const page = storage.bytes(address);
        rows.write(values, page, layout, "k", 0, place % layout.pageTokens);
        parts?.write(part, page, rotaryKeys(layout), "k", 0, place % layout.pageTokens);
      };
      put(stored.sequence.main(index).get(Math.floor(place / main.pageTokens)), main, codec, apart);
      const copy = residual && stored.sequence.residual(index).get(Math.floor(place / residual.layout.pageTokens));
      if (copy) put(copy, residual.layout, copies, apartCopies);
    }
  }
  for (const { row: firstRow, start, count } of step.spans) {
    for (let n = 0; n < count; n++) {
      const rope = ropeOfRow(layerRope, firstRow + n);
      for (let h = 0; h < numHeads; h++) {
        const at = (firstRow + n) * numHeads + h;
        const query = q.subarray(at * width, (at + 1) * width);
        codec.prepareQuery(query.subarray(0, d));
        applyRope(query.subarray(d), start + n, rope);
        for (let i = 0; i < width; i++) query[i] = query[i]! * layer.scale;
      }
    }
  }
}
