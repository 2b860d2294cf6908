/** @file Sizes that the backend and the planner of its memory agree on. */

/** Tokens of a prefill step: enough to use each weight many times, and few enough that an abort takes effect soon. */
export const CHUNK_TOKENS = 256;
/** Keys in one decode task. The number is fixed, so that results do not depend on the number of threads. */
export const SPLIT_TOKENS = 2048;
/** Memories of a model at most. Together they hold more than any machine that is fast enough for such a model would need. */
export const MAX_MEMORIES = 16;
/** Bytes of a checkpoint that are converted at a time. */
export const STAGING_BYTES = 1 << 20;

/** Bytes of the scores that an indexer chooses tokens of several rows by at a time. */
export const SCORE_BYTES = 8 << 20;
