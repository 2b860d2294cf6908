/** @file Bytes that the WebGPU backend takes: of weights and pages as it lays them out, of work at most. */
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../../quant/page-layout.ts";
import { DECODE_TOKENS } from "../decode-tokens.ts";
import { type BackendPlanner, type Load, STEPS_IN_FLIGHT } from "../planner.ts";
import { mostCopyParts, mostParts } from "./attention/decode-splits.ts";
import { mostPrefillBytes, partBytes } from "./attention/prefill-plan.ts";
import { choiceBytes } from "./chosen/choice-plan.ts";
import { batchRoom } from "./linear/batch-plan.ts";
import { panelRoom } from "./linear/panel-plan.ts";
import { weightBuffers } from "./linear/weight-buffers.ts";
import { bufferBytes, MAX_RETIRED_BYTES, slabCapacity, tableRoom } from "./queue/buffer-bytes.ts";
import { SPAN_WORDS } from "./queue/step-records.ts";
import { deltaBytes } from "./states/delta-plan.ts";

/** Tokens of a prefill step: with matrix units a step of 1,024 rows takes some ten milliseconds. */
export const CHUNK_TOKENS = { matrices: 1024, plain: 256 } as const;

/** What common adapters bind; the engine asks for the adapter's own, mostly 2 or 4 GiB. */
const BINDING_BYTES = 2 ** 31 - 4;
/** `maxStorageBufferBindingSize` of every WebGPU adapter. */
const LEAST_BINDING_BYTES = 128 * 2 ** 20;

/** What the step buffer, uniforms and pipelines have at least. */
const FIXED_BYTES = 4 << 20;
/** Codebooks with their bounds and the centroids that rows are coded anew with, of K, of V and of the window; those of a coarser tier are fewer. */
const CODEBOOK_VALUES = 2048;

/** Parts of heads that are merged, those of all passes together; none in a model without attention. Single tokens and spans take turns. */
function mergedBytes({ rows, sequences, tokens, numHeads, numsKvHeads, headDim, ...load }: Load): number {
  const passes = 1 + load.tiers.most;
  const decodeRows = sequences * DECODE_TOKENS;
  const each = partBytes({ numHeads, valueDim: headDim });
  const bytes = numsKvHeads.map((numKvHeads) => {
    const spans = [true, false].map((onMatrices) =>
      mostPrefillBytes({ numHeads, numKvHeads, valueDim: headDim }, tokens, rows, onMatrices),
    );
    const decode = passes * mostParts(numKvHeads, decodeRows) + decodeRows * mostCopyParts(load.windowTokens);
    const chosen = load.chosenLists ? mostParts(numKvHeads, Math.max(rows, decodeRows)) : 0;
    return Math.max(decode * each, passes * Math.max(...spans), chosen * each);
  });
  return Math.max(0, ...bytes);
}

function workingBytes(load: Load): number {
  const { rows, sequences, tokens, numLayers, headDim, tiers, chosenLists = 0 } = load;
  const parts = mergedBytes(load);
  const ofCodes = tableRoom(Math.ceil(tokens / PAGE_TOKENS));
  const tables = numLayers * (ofCodes + tableRoom(Math.ceil(tokens / RESIDUAL_PAGE_TOKENS))) + tiers.all * ofCodes;
  // The buffer of spans and block tables is made twice as large as what it holds when it has to grow.
  const steps = 2 * 4 * sequences * ((numLayers + tiers.all) * SPAN_WORDS + tables);
  const rotation = load.rotation === "qr" ? headDim * headDim : 0;
  const books = (numLayers + 1 + tiers.all) * CODEBOOK_VALUES;
  const constants =
    ((numLayers + 1) * (headDim * 8 + rotation) + books) * 4 + load.calibrationBytes + load.recodingBytes;
  const readback = sequences * load.vocabSize * 4;
  const deltas = Math.max(0, ...load.deltaRules.map((of) => deltaBytes(of, rows, sequences, rows)));
  const products = panelRoom(load.matrices, rows) + batchRoom(load.matrices);
  const choice = choiceBytes(tokens, chosenLists);
  const kept = FIXED_BYTES + MAX_RETIRED_BYTES + constants + readback;
  return kept + parts + products + deltas + choice + rows * headDim * 4 + steps;
}

export const planner: BackendPlanner = {
  // WebGPU does not tell how much memory there is.
  limits: {
    memoryBytes: Number.POSITIVE_INFINITY,
    bindingBytes: BINDING_BYTES,
    leastBindingBytes: LEAST_BINDING_BYTES,
  },
  chunkTokens: CHUNK_TOKENS.matrices,
  stepsInFlight: STEPS_IN_FLIGHT,
  weightBytes: (rows, cols, type) =>
    weightBuffers(rows, cols, type, BINDING_BYTES).reduce(
      (sum, { wordBytes, scaleBytes }) => sum + bufferBytes(wordBytes) + (scaleBytes > 0 ? bufferBytes(scaleBytes) : 0),
      0,
    ),
  heldPages(count, pageBytes, expected) {
    const bytes = bufferBytes(slabCapacity(count, pageBytes, expected) * pageBytes);
    return { bytes, bindingBytes: bytes };
  },
  keepsRoom: true,
  workingBytes,
};
