/** @file Appends the rows of latent attention: rotation, quantization, storing, and the rotary parts beside them. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { codecOf } from "../../quant/codecs/registry.ts";
import type { PageLayout } from "../../quant/page-layout.ts";
import { RowCodec } from "../../quant/row-codec.ts";
import { sanitize } from "../../quant/sanitize.ts";
import { windowSide } from "../../quant/window-side.ts";
import type { AttentionLayer, Rope, Step } from "../ops.ts";
import { ropeOfRow } from "../rope-of-row.ts";
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
  const { numHeads, headDim: d, rotaryKeyDim, index } = layer;
  const { format } = layer.kv;
  const width = d + rotaryKeyDim;
  const [codec, copies] = [format.k, windowSide(format)].map((side) => new RowCodec(side, format, d)) as [
    RowCodec,
    RowCodec,
  ];
  const { main, residual } = layer.cache;
  const rotarySide = main.rotaryKey!.side;
  const [apart, apartCopies] = [rotarySide, windowSide(format)].map(
    (side) => new RowCodec(side, format, rotaryKeyDim),
  ) as [RowCodec, RowCodec];
  for (const span of step.spans) {
    for (let n = 0; n < span.count; n++) {
      const [row, position] = [span.row + n, span.start + n];
      const rope = ropeOfRow(layerRope, row);
      const values = latent.slice(row * width, row * width + d);
      const part = latent.slice(row * width + d, (row + 1) * width);
      codec.prepare(values);
      applyRope(part, position, rope);
      sanitize(part, codecOf(format.k).largestOf(format.k));
      const put = (address: number, layout: PageLayout, rows: RowCodec, parts: RowCodec): void => {
        const page = storage.bytes(address);
        rows.write(values, page, layout, "k", 0, position % layout.pageTokens);
        parts.write(part, page, rotaryKeys(layout), "k", 0, position % layout.pageTokens);
      };
      put(span.sequence.main(index).get(Math.floor(position / main.pageTokens)), main, codec, apart);
      const copy = residual && span.sequence.residual(index).get(Math.floor(position / residual.layout.pageTokens));
      if (copy) put(copy, residual.layout, copies, apartCopies);
      for (let h = 0; h < numHeads; h++) {
        const query = q.subarray((row * numHeads + h) * width, (row * numHeads + h + 1) * width);
        codec.prepareQuery(query.subarray(0, d));
        applyRope(query.subarray(d), position, rope);
        for (let i = 0; i < width; i++) query[i] = query[i]! * layer.scale;
      }
    }
  }
}
