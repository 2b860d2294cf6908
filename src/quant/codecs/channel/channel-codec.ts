/**
 * @file KIVI in a page (docs/formats/kv-page.md). A full page is quantized at once, because the keys in it share scales.
 *
 * Until a page is full its tokens are read from their 16-bit copies, so the
 * residual window has to cover a page. The codes are made from these copies.
 */
import { fromFloat16Bits } from "../../../math/float16.ts";
import { KIVI_GROUP, quantizeGroups, transpose } from "../../baselines/kivi.ts";
import { dimOf, type PageRegions, rowAt } from "../../page-regions.ts";
import type { Bits } from "../../rules.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { plainSpec } from "../side-spec.ts";

export interface ChannelSide {
  readonly kind: "channel";
  readonly bits: Bits;
}

const typeOf = ({ bits }: ChannelSide): string => `kivi${bits}`;

class ChannelRows implements StoredRows {
  readonly #bits: Bits;
  readonly #codes: Uint8Array;

  constructor(bits: Bits, headDim: number) {
    this.#bits = bits;
    this.#codes = new Uint8Array(headDim);
  }

  write(): void {}

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, this.#bits, page, planes, head, row);
    const view = viewOf(page);
    const at = rowAt(scales[0]!, head, row);
    const groups = side === "k" ? out.length : Math.ceil(out.length / KIVI_GROUP);
    for (let i = 0; i < out.length; i++) {
      const g = side === "k" ? i : Math.floor(i / KIVI_GROUP);
      const scale = fromFloat16Bits(view.getUint16(at + 2 * g, true));
      out[i] = fromFloat16Bits(view.getUint16(at + 2 * (groups + g), true)) + this.#codes[i]! * scale;
    }
  }
}

export const channelCodec: SideCodec<ChannelSide> = {
  kind: "channel",
  syntax: {
    types: [],
    presets: ["kivi-N"],
    examples: ["kivi-4"],
    parsePreset(text) {
      const bits = /^kivi-([1-8])$/.exec(text)?.[1];
      if (!bits) return null;
      const side = plainSpec(`kivi${bits}`);
      return { k: side, v: side, rotation: "none", window: KIVI_GROUP };
    },
  },
  sideOf({ type }) {
    const bits = /^kivi([1-8])$/.exec(type)?.[1];
    return bits ? { kind: "channel", bits: Number(bits) as Bits } : null;
  },
  typeOf,
  nameOf: typeOf,
  isFloat: false,
  bitsOf: ({ bits }) => bits,
  isRotated: () => false,
  largestOf: () => MAX_FLOAT16,
  /** Scales, then zeros: for values one of each a row, for keys one of each a channel, shared by all rows of the page. */
  regionsOf: ({ bits }, { side, headDim }) => ({
    planes: planesOf(bits, headDim),
    scales: [
      side === "k"
        ? { name: "scales", rowBytes: 0, headBytes: 4 * headDim }
        : { name: "scales", rowBytes: 4 * Math.ceil(headDim / KIVI_GROUP) },
    ],
  }),
  rowsOf: ({ bits }, headDim) => new ChannelRows(bits, headDim),
  storePage({ bits }, rows, page, { pageTokens, ...layout }, side, head) {
    const headDim = dimOf(layout, side);
    const { planes, scales } = layout[side];
    const view = viewOf(page);
    const putScales = (at: number, of: { scales: Uint16Array; zeros: Uint16Array }): void => {
      of.scales.forEach((bits16, i) => {
        view.setUint16(at + 2 * i, bits16, true);
      });
      of.zeros.forEach((bits16, i) => {
        view.setUint16(at + 2 * (of.scales.length + i), bits16, true);
      });
    };
    if (side === "k") {
      const groups = quantizeGroups(transpose(rows, pageTokens, headDim), bits);
      putScales(rowAt(scales[0]!, head, 0), groups);
      const codes = new Uint8Array(headDim);
      for (let row = 0; row < pageTokens; row++) {
        for (let c = 0; c < headDim; c++) codes[c] = groups.codes[c * pageTokens + row]!;
        writeCodes(codes, bits, page, planes, head, row);
      }
      return;
    }
    for (let row = 0; row < pageTokens; row++) {
      const groups = quantizeGroups(rows.subarray(row * headDim, (row + 1) * headDim), bits);
      putScales(rowAt(scales[0]!, head, row), groups);
      writeCodes(groups.codes, bits, page, planes, head, row);
    }
  },
};
