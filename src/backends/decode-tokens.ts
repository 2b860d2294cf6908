/** @file Where decoding ends and prefill begins: one number for every backend and for whoever cuts prompts. */

/**
 * Spans of up to this many tokens are attended token by token, longer ones in tiles. The two are different kernels, whose
 * results over caches of floats differ in the last bits; so it is a rule of every backend, not a setting of one.
 */
export const DECODE_TOKENS = 4;
