/** @file Which declarations become which file of AssemblyScript offsets, and under which names. */

import { BLOCK } from "../../quant/baselines/blocks.ts";
import { MAX_HEAD_DIM } from "../../quant/head-dim.ts";
import { MAX_PROJECTIONS } from "../../quant/qjl.ts";
import { MAX_FLOAT16 } from "../../quant/sanitize.ts";
import { TRELLIS_RUN } from "../../quant/trellis.ts";
import { SEARCH_FACTORS } from "../../quant/vector-quantizer.ts";
import { MAX_DELTA_DIM } from "../state-ops.ts";
import {
  ACTIVATIONS,
  activate,
  convert,
  deviceRows,
  embed,
  heads,
  linear,
  mix,
  mixStreams,
  NORM_FLAGS,
  norm,
  prepare,
  resizeParts,
  rmsNorm,
  scaleColumns,
  segments,
  softcap,
  swiglu,
} from "./activations.ts";
import {
  APPEND_ROWS,
  append,
  appendSide,
  attend,
  attendSide,
  attendTier,
  MAX_ROWS,
  quantizerBin,
  quantizerTable,
  ROTATIONS,
  SCALE_RULES,
  SCRATCH_BYTES,
  SIDE_TYPES,
  slot,
  span,
  tierPages,
  tile,
} from "./attention.ts";
import { CONVOLVE_FLAGS, convolve, DELTA_ROWS, deltaRule, GATES, gate, scan, stateSpan } from "./states.ts";
import type { Struct } from "./struct.ts";

export interface WasmFile {
  /** Blocks with the prefix of their constants' names, "" for none. */
  readonly structs?: readonly (readonly [prefix: string, struct: Struct])[];
  /** Numbers other than offsets, with their prefix. */
  readonly numbers?: readonly (readonly [prefix: string, numbers: Readonly<Record<string, number>>])[];
  /** Sizes that kernels add to addresses. */
  readonly sizes?: Readonly<Record<string, number>>;
  readonly floats?: Readonly<Record<string, number>>;
}

/** By the name of the file in assembly/generated/. */
export const WASM_FILES: Readonly<Record<string, WasmFile>> = {
  "attend-params": {
    structs: [
      ["", attend],
      ["", attendSide],
      ["SPAN_", span],
      ["HELD_", tierPages],
      ["TIER_", attendTier],
      ["TILE_", tile],
    ],
  },
  "append-params": {
    structs: [
      ["", append],
      ["", appendSide],
      ["SLOT_", slot],
      ["Q_", quantizerTable],
      ["BIN_", quantizerBin],
    ],
  },
  limits: {
    sizes: {
      scratchBytes: SCRATCH_BYTES,
      maxRows: MAX_ROWS,
      maxDim: MAX_HEAD_DIM,
      maxSketch: Math.max(MAX_HEAD_DIM, MAX_PROJECTIONS),
      appendRows: APPEND_ROWS,
      blockLength: BLOCK,
      trellisRun: TRELLIS_RUN,
      numFactors: SEARCH_FACTORS.length,
    },
    floats: { maxFloat16: MAX_FLOAT16 },
  },
  "kv-numbers": {
    numbers: [
      ["TYPE_", SIDE_TYPES],
      ["RULE_", SCALE_RULES],
      ["ROTATION_", ROTATIONS],
    ],
  },
  "embed-params": { structs: [["", embed]] },
  "heads-params": { structs: [["", heads]] },
  "rms-norm-params": { structs: [["", rmsNorm]] },
  "norm-params": { structs: [["", norm]], numbers: [["FLAG_", NORM_FLAGS]] },
  "activate-params": { structs: [["", activate]], numbers: [["KIND_", ACTIVATIONS]] },
  "convolve-params": {
    structs: [
      ["", convolve],
      ["SPAN_", stateSpan],
    ],
    numbers: [["FLAG_", CONVOLVE_FLAGS]],
  },
  "delta-rule-params": {
    structs: [
      ["", deltaRule],
      ["SPAN_", stateSpan],
    ],
    numbers: [["ROWS_", DELTA_ROWS]],
    sizes: { maxDeltaDim: MAX_DELTA_DIM },
  },
  "gate-params": { structs: [["", gate]], numbers: [["KIND_", GATES]] },
  "scan-params": {
    structs: [
      ["", scan],
      ["SPAN_", stateSpan],
    ],
  },
  "resize-parts-params": { structs: [["", resizeParts]] },
  "scale-columns-params": { structs: [["", scaleColumns]] },
  "softcap-params": { structs: [["", softcap]] },
  "swiglu-params": { structs: [["", swiglu]] },
  "prepare-params": { structs: [["", prepare]] },
  "linear-params": { structs: [["", linear]] },
  "segments-params": { structs: [["", segments]] },
  "mix-params": { structs: [["", mix]] },
  "mix-streams-params": { structs: [["", mixStreams]] },
  "convert-params": { structs: [["", convert]] },
  "device-rows-params": { structs: [["", deviceRows]] },
};
