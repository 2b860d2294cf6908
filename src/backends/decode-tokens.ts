/** @file The limit between decoding and prefill, the same for every backend and for the code that cuts prompts. */

/**
 * Spans of up to this many tokens are attended token by token, longer ones in tiles. The two kernels give results that differ
 * in the last bits over float caches, so the limit is part of every backend's definition and not a setting.
 */
export const DECODE_TOKENS = 4;
