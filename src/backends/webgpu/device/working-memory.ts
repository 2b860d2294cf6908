/** @file Bytes that the WebGPU backend takes besides weights, activations and KV pages: an upper bound for a given load. */
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../../../quant/page-layout.ts";
import type { Load } from "../../working-memory.ts";
import { mostSplits } from "../attention/decode-splits.ts";
import { planPrefill } from "../attention/prefill-plan.ts";
import { panelRoom } from "../linear/panel-plan.ts";
import { tableRoom } from "../queue/buffer-bytes.ts";

/** Tokens of a prefill step: with matrix units a step of 1,024 rows takes some ten milliseconds. */
export const CHUNK_TOKENS = { matrices: 1024, plain: 256 } as const;

/** What the step buffer, uniforms and pipelines have at least. */
const FIXED_BYTES = 4 << 20;
/** Codebooks with their bounds, of K and of V. */
const CODEBOOK_VALUES = 1024;

export function gpuWorkingBytes(load: Load): number {
  const { rows, sequences, tokens, numHeads, numKvHeads, numLayers, headDim } = load;
  const prefill = planPrefill(
    { numHeads, numKvHeads, slidingWindow: 0 },
    { start: Math.max(0, tokens - rows), count: rows },
  );
  const decode = sequences * (mostSplits(false, { layer: { numKvHeads } }, sequences) + 1);
  const parts = Math.max(rows * prefill.splits, decode) * numHeads * (headDim + 2) * 4;
  const tables = tableRoom(Math.ceil(tokens / PAGE_TOKENS)) + tableRoom(Math.ceil(tokens / RESIDUAL_PAGE_TOKENS));
  // The buffer of block tables is made twice as large as what it holds when it has to grow.
  const steps = 2 * 4 * sequences * numLayers * tables;
  const rotation = load.rotation === "qr" ? headDim * headDim : 0;
  const constants = (numLayers + 1) * (headDim * 8 + rotation + CODEBOOK_VALUES) * 4 + load.calibrationBytes;
  const readback = sequences * load.vocabSize * 4;
  const products = panelRoom(load.matrices, rows);
  return FIXED_BYTES + parts + products + rows * headDim * 4 + steps + constants + readback;
}
