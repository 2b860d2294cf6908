/** @file f16 and f32: rows of plain numbers, neither rotated nor scaled. */
import { fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import { clampToFloat16, MAX_FLOAT16, MAX_FLOAT32 } from "../../sanitize.ts";
import { viewOf } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { typeSyntax } from "../side-spec.ts";

export interface FloatSide {
  readonly kind: "float";
  readonly bits: 16 | 32;
}

class HalfRows implements StoredRows {
  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const view = viewOf(page);
    const at = rowAt(layout[side].planes[0]!, head, row);
    // A rotation can move so much into one coordinate that it exceeds the range of f16.
    for (let i = 0; i < x.length; i++) view.setUint16(at + 2 * i, toFloat16Bits(clampToFloat16(x[i]!)), true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const view = viewOf(page);
    const at = rowAt(layout[side].planes[0]!, head, row);
    for (let i = 0; i < out.length; i++) out[i] = fromFloat16Bits(view.getUint16(at + 2 * i, true));
  }
}

class SingleRows implements StoredRows {
  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const view = viewOf(page);
    const at = rowAt(layout[side].planes[0]!, head, row);
    for (let i = 0; i < x.length; i++) view.setFloat32(at + 4 * i, x[i]!, true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const view = viewOf(page);
    const at = rowAt(layout[side].planes[0]!, head, row);
    for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(at + 4 * i, true);
  }
}

export const floatCodec: SideCodec<FloatSide> = {
  kind: "float",
  syntax: typeSyntax(["f16", "f32"]),
  sideOf({ type }) {
    if (type === "f16") return { kind: "float", bits: 16 };
    return type === "f32" ? { kind: "float", bits: 32 } : null;
  },
  typeOf: ({ bits }) => `f${bits}`,
  nameOf: ({ bits }) => `f${bits}`,
  isFloat: true,
  bitsOf: ({ bits }) => bits,
  isRotated: () => false,
  largestOf: ({ bits }) => (bits === 32 ? MAX_FLOAT32 : MAX_FLOAT16),
  regionsOf: ({ bits }, { headDim }) => ({
    planes: [{ name: "codes", width: bits, rowBytes: (headDim * bits) / 8 }],
    scales: [],
  }),
  rowsOf: ({ bits }) => (bits === 32 ? new SingleRows() : new HalfRows()),
};
