/**
 * @file KVarN (arXiv 2606.03458, huawei-csl/KVarN, its presets `kvarn_kNvM_g64`): a tile of 64 tokens of one head is rotated, balanced by
 * factors for its tokens and its channels, and rounded to asymmetric integers: keys by channel, values by token. The factors of the
 * side that has no scales of its own are stored beside them, the others are folded into the scales.
 *
 * A tile is a page. Until it is full its tokens are read from their 16-bit copies, as its own tail pool has them; the first tile stays in
 * 16 bit as well (`sinks=0`: it does not).
 */
import { fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { dimOf, PAGE_TOKENS, type PageRegions, rowAt } from "../../page-regions.ts";
import type { Bits } from "../../rules.ts";
import { clampToFloat16, MAX_FLOAT16 } from "../../sanitize.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { plainSpec, type SideSpec } from "../side-spec.ts";
import { balanceTile } from "./balance-tile.ts";

export interface TileSide {
  readonly kind: "tile";
  readonly bits: Bits;
}

const typeOf = ({ bits }: TileSide): string => `kvarn${bits}`;
const bitsOfType = (type: string): string | undefined => /^kvarn([1-8])$/.exec(type)?.[1];

/** Scales and zeros, and the factors of the other direction, of a full page and head. */
interface QuantizedTile {
  /** [tokens][channels] */
  readonly codes: Uint8Array;
  /** One of each a line: a channel of keys, a token of values. */
  readonly scales: Float64Array;
  readonly zeros: Float64Array;
  readonly factors: Float64Array;
}

/** rows: [tokens][channels] · byChannel: whether a channel is a line, as for keys, or a token */
function quantizeTile(
  rows: Float32Array,
  tokens: number,
  channels: number,
  bits: number,
  byChannel: boolean,
): QuantizedTile {
  const { rows: ofTokens, columns: ofChannels } = balanceTile(rows, tokens, channels);
  const [lines, length] = byChannel ? [channels, tokens] : [tokens, channels];
  const place = (line: number, i: number): number => (byChannel ? i * channels + line : line * channels + i);
  const [own, factors] = byChannel ? [ofChannels, ofTokens] : [ofTokens, ofChannels];
  const levels = 2 ** bits - 1;
  const result = {
    codes: new Uint8Array(rows.length),
    scales: new Float64Array(lines),
    zeros: new Float64Array(lines),
    factors,
  };
  for (let line = 0; line < lines; line++) {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const balanced = Float64Array.from({ length }, (_, i) => rows[place(line, i)]! / (own[line]! * factors[i]!));
    for (const x of balanced) [low, high] = [Math.min(low, x), Math.max(high, x)];
    const scale = (high - low) / levels;
    balanced.forEach((x, i) => {
      result.codes[place(line, i)] = scale > 0 ? Math.min(levels, Math.round((x - low) / scale)) : 0;
    });
    result.scales[line] = own[line]! * scale;
    result.zeros[line] = own[line]! * low;
  }
  return result;
}

class TileRows implements StoredRows {
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
    const half = (at: number, i: number): number => fromFloat16Bits(view.getUint16(at + 2 * i, true));
    const [lines, factors] = [rowAt(scales[0]!, head, row), rowAt(scales[1]!, head, row)];
    const byChannel = side === "k";
    const numLines = byChannel ? out.length : 1;
    for (let i = 0; i < out.length; i++) {
      const line = byChannel ? i : 0;
      const factor = half(factors, byChannel ? 0 : i);
      out[i] = factor * (half(lines, numLines + line) + this.#codes[i]! * half(lines, line));
    }
  }
}

export const tileCodec: SideCodec<TileSide> = {
  kind: "tile",
  syntax: {
    types: ["kvarn1 … kvarn8"],
    parseType: (text): SideSpec | null => (bitsOfType(text) ? plainSpec(text) : null),
    presets: ["kvarn-N"],
    examples: ["kvarn-4"],
    parsePreset(text) {
      const bits = /^kvarn-([1-8])$/.exec(text)?.[1];
      if (!bits) return null;
      const side = plainSpec(`kvarn${bits}`);
      return { k: side, v: side, sinks: PAGE_TOKENS, window: PAGE_TOKENS };
    },
  },
  sideOf({ type }) {
    const bits = bitsOfType(type);
    return bits ? { kind: "tile", bits: Number(bits) as Bits } : null;
  },
  typeOf,
  nameOf: typeOf,
  isFloat: false,
  bitsOf: ({ bits }) => bits,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  /** Of keys scales, then zeros of the channels, and a factor a token; of values a scale and a zero a token, and factors of the channels. */
  regionsOf: ({ bits }, { side, headDim }) => ({
    planes: planesOf(bits, headDim),
    scales:
      side === "k"
        ? [
            { name: "scales", rowBytes: 0, headBytes: 4 * headDim },
            { name: "token factors", rowBytes: 2 },
          ]
        : [
            { name: "scales", rowBytes: 4 },
            { name: "channel factors", rowBytes: 0, headBytes: 2 * headDim },
          ],
  }),
  rowsOf: ({ bits }, headDim) => new TileRows(bits, headDim),
  storePage({ bits }, rows, page, { pageTokens, ...layout }, side, head) {
    const channels = dimOf(layout, side);
    const { planes, scales } = layout[side];
    const byChannel = side === "k";
    const tile = quantizeTile(rows, pageTokens, channels, bits, byChannel);
    const view = viewOf(page);
    const put = (at: number, i: number, x: number): void =>
      view.setUint16(at + 2 * i, toFloat16Bits(clampToFloat16(x)), true);
    for (let row = 0; row < pageTokens; row++) {
      writeCodes(tile.codes.subarray(row * channels, (row + 1) * channels), bits, page, planes, head, row);
      if (byChannel) put(rowAt(scales[1]!, head, row), 0, tile.factors[row]!);
      else {
        const at = rowAt(scales[0]!, head, row);
        put(at, 0, tile.scales[row]!);
        put(at, 1, tile.zeros[row]!);
      }
    }
    const shared = rowAt(scales[byChannel ? 0 : 1]!, head, 0);
    const putAll = (first: number, values: Float64Array): void => {
      for (const [i, x] of values.entries()) put(shared, first + i, x);
    };
    if (byChannel) {
      putAll(0, tile.scales);
      putAll(channels, tile.zeros);
    } else putAll(0, tile.factors);
  },
};
