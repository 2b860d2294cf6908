/** @file The head dimensions that can be stored and read: one range for all formats and backends. */
import { TurboQuantError } from "../errors.ts";

/** The rotation's butterflies and the bit planes work on groups of eight. */
const HEAD_DIM_STEP = 8;
/**
 * What the scratch of the WASM kernels is laid out for, and what append, prefill and
 * decode fit into the 32 KiB of workgroup memory that WebGPU adapters offer. Published models end here: 512 of latent
 * attention and 64 beside it.
 */
export const MAX_HEAD_DIM = 576;

/**
 * subject: a file, a backend or a function, for the beginning of the message · most: the backend's own limit
 * @throws TurboQuantError unsupported — a head_dim without kernels, here or on this backend
 */
export function checkHeadDim(headDim: number, subject: string, most: number = MAX_HEAD_DIM): void {
  if (headDim % HEAD_DIM_STEP === 0 && headDim >= HEAD_DIM_STEP && headDim <= most) return;
  const isOfBackend = headDim % HEAD_DIM_STEP === 0 && headDim > most && headDim <= MAX_HEAD_DIM;
  throw new TurboQuantError(
    "unsupported",
    `${subject}: head_dim: expected a multiple of ${HEAD_DIM_STEP} from ${HEAD_DIM_STEP} to ${most}, got ${headDim}; use ${isOfBackend ? "--backend wasm" : "a model with such heads"}`,
    { headDim, most },
  );
}
