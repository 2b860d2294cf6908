/** @file What kernels over chosen tokens read: rows of codes beside rows of sinks and window, token by token. */
import { windowSide } from "../../../quant/window-side.ts";
import type { AttendOptions } from "../attention/attend-options.ts";
import type { DecodeSides } from "../attention/attend-text.ts";
import { FLOATS } from "../codec/read-text.ts";
import { joinTables, sideTables, tablesText } from "../codec/side-tables.ts";
import type { TableUse } from "../codec/table-text.ts";
import { SLOT_MASK } from "../queue/page-storage.ts";
import { STEP_VALUES } from "../queue/step-records.ts";

export interface ReadSides {
  readonly sides: DecodeSides;
  /** Statements that fill `lut`, and its words. */
  readonly tables: string;
  readonly entries: number;
}

export function readSides(
  { layer, cache: { main, residual }, centroidsAt, windowCentroidsAt }: AttendOptions,
  arrays: DecodeSides["arrays"],
): ReadSides {
  const inFloats = { k: false, v: false };
  const codes = sideTables(layer.kv.format, inFloats, centroidsAt, main);
  const inBits = windowSide(layer.kv.format);
  const ofWindow = windowCentroidsAt && sideTables({ k: inBits, v: inBits }, inFloats, windowCentroidsAt, main);
  const tables = ofWindow ? joinTables(codes, ofWindow) : { ...codes, secondAt: 0 };
  const use = (tableAt: number): TableUse => ({ ...FLOATS, tableAt });
  const { secondAt } = tables;
  return {
    sides: {
      ...{ main, residual: residual?.layout ?? null, arrays },
      ...{ k: use(0), v: use(codes.vAt) },
      ofWindow: { k: use(secondAt), v: use(secondAt + (ofWindow?.vAt ?? 0)) },
    },
    tables: tablesText(tables, 1),
    entries: tables.entries,
  };
}

/** What such kernels are told of pages. */
export const pageValues = ({ layer, cache: { main, residual } }: AttendOptions) => ({
  ...STEP_VALUES,
  QUERY_DIM: layer.headDim + layer.rotaryKeyDim,
  SLOT_MASK,
  PAGE_TOKENS: main.pageTokens,
  PAGE_BYTES: main.numBytes,
  HAS_RESIDUAL: residual !== null,
  ...(residual && { RESIDUAL_TOKENS: residual.layout.pageTokens, RESIDUAL_BYTES: residual.layout.numBytes }),
});
