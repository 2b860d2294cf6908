/** @file Sizes that the backend and the planner of its memory agree on. */

/** Tokens of a prefill step. Enough to use each weight many times, few enough to stop within a moment. */
export const CHUNK_TOKENS = 256;
/** Keys of one decode task. Fixed, so that results do not depend on the number of threads. */
export const SPLIT_TOKENS = 2048;
/** Checkpoint bytes converted at a time. */
export const STAGING_BYTES = 1 << 20;
