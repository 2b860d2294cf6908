/** @file Offsets in the parameter block of the linear kernels; src/backends/wasm/linear-params.ts writes it. */

/** Prepared activations (see prepare.ts), [rows][stride]. */
export const X: usize = 0;
/** q8 and q4 only: f32 [rows]. */
export const X_SCALE: usize = 4;
/** Panels of four rows (types.ts, grouped.ts). */
export const W: usize = 8;
/** f32 [n], or 0. */
export const BIAS: usize = 12;
/** f32 [rows][n]. */
export const OUT: usize = 16;
export const ROWS: usize = 20;
/** Rows of the weight = columns of the output. */
export const N: usize = 24;
/** Elements of a weight row: cols rounded up to 8 (32 for q8 and q4). */
export const STRIDE: usize = 28;
/** 1: accumulate into out. */
export const ADD: usize = 32;
/** Weight rows of one task, a multiple of 4. */
export const BLOCK: usize = 36;
