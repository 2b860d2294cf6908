/** @file Bytes that the WASM backend takes: of weights and pages as it lays them out, of work at most. */
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../../quant/page-layout.ts";
import { wasmWeightFormat } from "../../weights/registry.ts";
import { SCRATCH_BYTES, slot, span } from "../parameters/attention.ts";
import type { BackendPlanner, Load } from "../planner.ts";
import { MAX_DEFAULT_THREADS } from "./environment.ts";
import { ALIGNMENT, alignUp } from "./heap.ts";
import { MAX_BYTES, RESERVED_BYTES } from "./memory.ts";
import { scratchBytes } from "./scratch-buffer.ts";
import { CHUNK_TOKENS, MAX_MEMORIES, SCORE_BYTES, SPLIT_TOKENS, STAGING_BYTES } from "./sizes.ts";
import { preparedBytes, weightLayout } from "./weight-layout.ts";

/** Codebooks and rotations: tens of kB a format, twice head_dim² floats where the rotation is a matrix; alignment of weights. */
const TABLE_BYTES = 1 << 20;

/** Mean, balance, and three of each side (kv-tables.ts). */
const CALIBRATION_ARRAYS = 8;

function workingBytes(load: Load): number {
  const { rows, sequences, tokens, headDim, chosenLists = 0 } = load;
  const prepared = preparedBytes(wasmWeightFormat(load.weights), rows, alignUp(load.widestInput, 32));
  const partial = (alignUp(headDim, 32) + 2) * 4;
  const partials = sequences * load.numHeads * Math.ceil(tokens / SPLIT_TOKENS) * partial;
  const blockTable = Math.ceil(tokens / PAGE_TOKENS) + Math.ceil(tokens / RESIDUAL_PAGE_TOKENS);
  const spans = sequences * (span.numBytes + blockTable * 4);
  // Scores of some of the rows at a time, and bits of the chosen tokens of all.
  const scores = chosenLists > 0 ? Math.max(SCORE_BYTES, 4 * chosenLists * tokens) : 0;
  const chosen = chosenLists * Math.max(rows, sequences) * 4 * Math.ceil((tokens + 4) / 32);
  const perRow = rows * (headDim * 4 + slot.numBytes + 4);
  return (
    RESERVED_BYTES +
    MAX_DEFAULT_THREADS * SCRATCH_BYTES +
    TABLE_BYTES +
    load.calibrationBytes +
    load.numLayers * CALIBRATION_ARRAYS * ALIGNMENT +
    [prepared.values + prepared.sums + prepared.scales, partials, spans, scores, chosen, perRow, STAGING_BYTES].reduce(
      (sum, bytes) => sum + scratchBytes(bytes),
      0,
    )
  );
}

export const planner: BackendPlanner = {
  // Buffers are ranges of a memory, whatever their size.
  limits: {
    memoryBytes: MAX_BYTES,
    memories: MAX_MEMORIES,
    bindingBytes: Number.POSITIVE_INFINITY,
    leastBindingBytes: Number.POSITIVE_INFINITY,
  },
  chunkTokens: CHUNK_TOKENS,
  stepsInFlight: 1,
  weightBytes: (rows, cols, type, unit) => weightLayout(rows, cols, type, unit).numBytes,
  heldPages: (count, pageBytes) => ({ bytes: count * alignUp(pageBytes), bindingBytes: count * pageBytes }),
  keepsRoom: false,
  workingBytes,
};
