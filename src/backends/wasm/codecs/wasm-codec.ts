/** @file What the WASM kernels need to know of a KV codec. The kernels themselves are specialised by type in `assembly/`. */
import type { SideFormat } from "../../../quant/codecs/registry.ts";
import type { AnySide } from "../../../quant/codecs/side-codec.ts";
import type { ScaleRule } from "../../../quant/rules.ts";
import type { CodebookTable } from "../codebook-table.ts";

/** The values that codes stand for, as tables of the kernels. */
export interface Book {
  /** Equal for equal tables. */
  readonly key: string;
  /** The table for attention. */
  codebook(): CodebookTable;
  /** The table for append. */
  quantizer(): Uint8Array;
}

export interface WasmCodec<S extends AnySide = SideFormat> {
  /** The number by which kernels know the type: code widths 1–8, others as in `SIDE_TYPES`. */
  typeCode(side: S): number;
  /** Whether scores are added up in the same order for any number of query rows. */
  readonly isRowInvariant: boolean;
  /** Absent for types without a codebook. */
  book?(side: S, headDim: number): Book;
  /** How append chooses the scale of a row of codes. */
  scaleOf?(side: S): { readonly rule: ScaleRule; readonly search: boolean };
  /** Projections of a QJL sketch; its signs are the last plane, its norms the second array of scales. */
  projectionsOf?(side: S, headDim: number): number;
}
