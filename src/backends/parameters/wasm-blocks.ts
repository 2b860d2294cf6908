/** @file Which declarations become which file of offsets for AssemblyScript, and with which names. */
import { convert, embed, linear, prepare, rmsNorm, swiglu } from "./activations.ts";
import {
  append,
  appendSide,
  attend,
  attendSide,
  MAX_ROWS,
  quantizerTable,
  ROTATIONS,
  SCALE_RULES,
  SIDE_TYPES,
  slot,
  span,
} from "./attention.ts";
import type { Struct } from "./struct.ts";

export interface WasmFile {
  /** Blocks by the prefix of their names, "" for none. */
  readonly structs?: readonly (readonly [prefix: string, struct: Struct])[];
  /** Numbers that are no offsets, by the same. */
  readonly numbers?: readonly (readonly [prefix: string, numbers: Readonly<Record<string, number>>])[];
  /** Counts that kernels add to addresses. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** By the file's name, in assembly/generated/. */
export const WASM_FILES: Readonly<Record<string, WasmFile>> = {
  "attend-params": {
    structs: [
      ["", attend],
      ["", attendSide],
      ["SPAN_", span],
    ],
    sizes: { maxRows: MAX_ROWS },
  },
  "append-params": {
    structs: [
      ["", append],
      ["", appendSide],
      ["SLOT_", slot],
      ["Q_", quantizerTable],
    ],
  },
  "kv-numbers": {
    numbers: [
      ["TYPE_", SIDE_TYPES],
      ["RULE_", SCALE_RULES],
      ["ROTATION_", ROTATIONS],
    ],
  },
  "embed-params": { structs: [["", embed]] },
  "rms-norm-params": { structs: [["", rmsNorm]] },
  "swiglu-params": { structs: [["", swiglu]] },
  "prepare-params": { structs: [["", prepare]] },
  "linear-params": { structs: [["", linear]] },
  "convert-params": { structs: [["", convert]] },
};
