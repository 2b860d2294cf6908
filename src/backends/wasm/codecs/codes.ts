/** @file TurboQuant codes for the WASM kernels: scalar codes, codes with a sketch, and the trellis. */
import type { ScalarSide } from "../../../quant/codecs/scalar/scalar-codec.ts";
import type { SketchSide } from "../../../quant/codecs/sketch/sketch-codec.ts";
import type { TrellisSide } from "../../../quant/codecs/trellis/trellis-codec.ts";
import { TRELLIS_VALUES } from "../../../quant/trellis.ts";
import { SIDE_TYPES } from "../../parameters/attention.ts";
import { buildCodebookTable, buildTrellisTable } from "../codebook-table.ts";
import { buildQuantizerTable } from "../quantizer-table.ts";
import type { Book, WasmCodec } from "./wasm-codec.ts";

function lloydMaxBook({ bits, codebookIterations: n }: ScalarSide | SketchSide, headDim: number): Book {
  return {
    key: `tq${bits}/${n}`,
    codebook: () => buildCodebookTable(headDim, bits, n),
    quantizer: () => buildQuantizerTable(headDim, bits, n),
  };
}

/** Attention over codes adds up in the same order for any number of rows. */
export const scalar: WasmCodec<ScalarSide> = {
  typeCode: ({ bits }) => bits,
  isRowInvariant: true,
  book: lloydMaxBook,
  scaleOf: ({ scale, search }) => ({ rule: scale, search }),
};

export const sketch: WasmCodec<SketchSide> = {
  typeCode: ({ bits }) => bits,
  isRowInvariant: true,
  book: lloydMaxBook,
  scaleOf: ({ scale, search }) => ({ rule: scale, search }),
  projectionsOf: ({ projections }, headDim) => projections ?? headDim,
};

export const trellis: WasmCodec<TrellisSide> = {
  typeCode: () => SIDE_TYPES.trellis,
  isRowInvariant: true,
  book: () => ({
    key: "trellis",
    codebook: buildTrellisTable,
    // Only the values, f32 [4 codes][4 codes before].
    quantizer: () => new Uint8Array(TRELLIS_VALUES.slice().buffer),
  }),
  scaleOf: ({ scale }) => ({ rule: scale, search: false }),
};
