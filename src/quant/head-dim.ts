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

/** The width that vectors of `dim` coordinates have in pages and in the kernels that read them, with zeros behind them where it is more. */
export const storedDim = (dim: number): number => Math.ceil(dim / HEAD_DIM_STEP) * HEAD_DIM_STEP;

/**
 * Of a model, whose heads may have any width; see `storedDim`.
 * @throws TurboQuantError unsupported — heads that are wider than any backend has kernels for
 */
export function checkModelHeadDim(headDim: number, fileName: string): void {
  if (storedDim(headDim) <= MAX_HEAD_DIM) return;
  throw new TurboQuantError(
    "unsupported",
    `${fileName}: head_dim: expected at most ${MAX_HEAD_DIM}, got ${headDim}; use a model with such heads`,
    { headDim, most: MAX_HEAD_DIM },
  );
}

/**
 * subject: a backend or a function, for the beginning of the message · most: the backend's own limit
 * @throws TurboQuantError unsupported — a width of stored heads without kernels, here or on this backend
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
