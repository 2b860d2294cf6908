/** @file Sizes that the kernels and the planner of their memory agree on. */

/** Tokens of a prefill step. Enough to use each weight many times, few enough to stop within a moment. */
export const CHUNK_TOKENS = 256;
/** Keys of one decode task. Fixed, so that results do not depend on the number of threads. */
export const SPLIT_TOKENS = 2048;
/** Scratch of a thread; every kernel's needs fit (those of attention are the largest). */
export const SCRATCH_BYTES = 512 * 1024;
/** Checkpoint bytes converted at a time. */
export const STAGING_BYTES = 1 << 20;
