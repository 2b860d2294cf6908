/**
 * @file A made-up KV codec, as complete as a real one: of each coordinate the sign, and one f16 scale a row, the mean magnitude.
 * `--kv sign` stores both sides so, `k=sign` one of them.
 */
import { fromFloat16Bits, toFloat16Bits } from "../../../src/math/float16.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../../../src/quant/codecs/code-planes.ts";
import type { SideCodec, StoredRows } from "../../../src/quant/codecs/side-codec.ts";
import { typeSyntax } from "../../../src/quant/codecs/side-spec.ts";
import { type PageRegions, rowAt } from "../../../src/quant/page-regions.ts";
import { MAX_FLOAT16 } from "../../../src/quant/sanitize.ts";

export interface SignSide {
  readonly kind: "sign";
}

class SignRows implements StoredRows {
  readonly #signs: Uint8Array;

  constructor(headDim: number) {
    this.#signs = new Uint8Array(headDim);
  }

  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const { planes, scales } = layout[side];
    // f32, one rounding an operation: the order of the sum is part of the definition.
    let sum = 0;
    for (const value of x) sum = Math.fround(sum + Math.abs(value));
    const mean = Math.min(MAX_FLOAT16, Math.fround(sum * Math.fround(1 / x.length)));
    x.forEach((value, i) => {
      this.#signs[i] = value >= 0 ? 1 : 0;
    });
    writeCodes(this.#signs, 1, page, planes, head, row);
    viewOf(page).setUint16(rowAt(scales[0]!, head, row), toFloat16Bits(mean), true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#signs, 1, page, planes, head, row);
    const scale = fromFloat16Bits(viewOf(page).getUint16(rowAt(scales[0]!, head, row), true));
    for (let i = 0; i < out.length; i++) out[i] = this.#signs[i] ? scale : -scale;
  }
}

export const signCodec: SideCodec<SignSide> = {
  kind: "sign",
  syntax: typeSyntax(["sign"]),
  sideOf: ({ type }) => (type === "sign" ? { kind: "sign" } : null),
  typeOf: () => "sign",
  nameOf: () => "sign",
  isFloat: false,
  bitsOf: () => 1,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  regionsOf: (_, { headDim }) => ({ planes: planesOf(1, headDim), scales: [{ name: "scales", rowBytes: 2 }] }),
  rowsOf: (_, headDim) => new SignRows(headDim),
};
