/**
 * @file q8_0 and q4_0r: integers in blocks of 32 with one f16 scale
 * for each block. These are ggml's baselines; q4_0r is rotated first.
 */
import { BLOCK, dequantizeBlocks } from "../../baselines/blocks.ts";
import { Q4_ZERO, quantizeQ4 } from "../../baselines/q4-0-rotated.ts";
import { Q8_ZERO, quantizeQ8 } from "../../baselines/q8-0.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { typeSyntax } from "../side-spec.ts";

export interface BlockSide {
  readonly kind: "block";
  /** 8: q8_0 · 4: q4_0r */
  readonly bits: 4 | 8;
}

const typeOf = ({ bits }: BlockSide): string => (bits === 8 ? "q8_0" : "q4_0r");

class BlockRows implements StoredRows {
  readonly #bits: 4 | 8;
  readonly #codes: Uint8Array;
  /** f16 bits of the scales of one row. */
  readonly #scales: Uint16Array;

  constructor(bits: 4 | 8, headDim: number) {
    this.#bits = bits;
    this.#codes = new Uint8Array(headDim);
    this.#scales = new Uint16Array(Math.ceil(headDim / BLOCK));
  }

  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const { planes, scales } = layout[side];
    (this.#bits === 8 ? quantizeQ8 : quantizeQ4)(x, this.#codes, this.#scales);
    writeCodes(this.#codes, this.#bits, page, planes, head, row);
    const view = viewOf(page);
    const at = rowAt(scales[0]!, head, row);
    for (let b = 0; b < this.#scales.length; b++) view.setUint16(at + 2 * b, this.#scales[b]!, true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, this.#bits, page, planes, head, row);
    const view = viewOf(page);
    const at = rowAt(scales[0]!, head, row);
    for (let b = 0; b < this.#scales.length; b++) this.#scales[b] = view.getUint16(at + 2 * b, true);
    dequantizeBlocks(this.#codes, this.#scales, this.#bits === 8 ? Q8_ZERO : Q4_ZERO, out);
  }
}

export const blockCodec: SideCodec<BlockSide> = {
  kind: "block",
  // q4_0 in a spec means the rotated variant.
  syntax: { ...typeSyntax(["q8_0", "q4_0r"]), examples: ["q4_0r", "q8_0"] },
  sideOf({ type }) {
    if (type === "q8_0") return { kind: "block", bits: 8 };
    return type === "q4_0r" ? { kind: "block", bits: 4 } : null;
  },
  typeOf,
  nameOf: typeOf,
  isFloat: false,
  bitsOf: ({ bits }) => bits,
  isRotated: ({ bits }) => bits === 4,
  largestOf: () => MAX_FLOAT16,
  regionsOf: ({ bits }, { headDim }) => ({
    planes: planesOf(bits, headDim),
    scales: [{ name: "scales", rowBytes: 2 * Math.ceil(headDim / BLOCK) }],
  }),
  rowsOf: ({ bits }, headDim) => new BlockRows(bits, headDim),
};
