/** @file What formats agree on that keep small integers in groups along a row, with a scale for each group. */

/** Columns that share one scale. */
export const GROUP = 32;
