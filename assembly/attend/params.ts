/**
 * @file Parameters of the attention kernels, declared in
 * src/backends/parameters/attention.ts, and the layout of a thread's scratch memory.
 */

import { TILE_BYTES } from "../generated/attend-params";
import { TYPE_TRELLIS } from "../generated/kv-numbers";
import { MAX_DIM, MAX_ROWS, MAX_SKETCH } from "../generated/limits";

export * from "../generated/attend-params";
export * from "../generated/kv-numbers";
export * from "../generated/limits";

/** Two-bit codes in a trellis; in kernels this is one of the values of BITS. */
export const TRELLIS: i32 = TYPE_TRELLIS;

// Scratch of a thread: MAX_ROWS query rows, tiles of MAX_TILE keys, heads of at most MAX_DIM. More query heads a KV head than
// MAX_ROWS are taken in parts.
export const MAX_TILE: usize = 64;
export const S_QUERY: usize = 0; // f32 [MAX_ROWS][MAX_DIM]
export const S_QUERY16: usize = S_QUERY + MAX_ROWS * MAX_DIM * 4; // i16 [MAX_ROWS][MAX_DIM], permuted
export const S_SKETCH16: usize = S_QUERY16 + MAX_ROWS * MAX_DIM * 2; // the same of the projected query, [MAX_ROWS][MAX_SKETCH]
export const S_ACC: usize = S_SKETCH16 + MAX_ROWS * MAX_SKETCH * 2; // f32 [MAX_ROWS][MAX_DIM]
export const S_SCORES: usize = S_ACC + MAX_ROWS * MAX_DIM * 4; // f32 [MAX_ROWS][MAX_TILE]
export const S_WEIGHTS: usize = S_SCORES + MAX_ROWS * MAX_TILE * 4; // i16 [MAX_ROWS][MAX_TILE]
export const S_SUMS: usize = S_WEIGHTS + MAX_ROWS * MAX_TILE * 2; // i32x4 [2][MAX_TILE]
export const S_SCALES: usize = S_SUMS + 2 * MAX_TILE * 16; // f32 [MAX_TILE]
export const S_BLOCK_SCALES: usize = S_SCALES + MAX_TILE * 4; // f32 [MAX_DIM / 32][MAX_TILE]
export const S_PRODUCTS: usize = S_BLOCK_SCALES + (MAX_DIM / 32) * MAX_TILE * 4; // f32 [MAX_TILE + 4]: weights times scales
export const S_TILE: usize = S_PRODUCTS + MAX_TILE * 4 + 16; // i16 or f32 [MAX_TILE][MAX_DIM]
export const S_ROWS: usize = S_TILE + MAX_TILE * MAX_DIM * 4; // MAX_ROWS of ROW_BYTES
export const ROW_BYTES: usize = 64;
/** Target for bytes that are read only to bring them into the caches. */
export const S_TOUCHED: usize = S_ROWS + MAX_ROWS * ROW_BYTES;
export const S_AT_HAND: usize = S_TOUCHED + 64; // a `tile` block
export const S_END: usize = S_AT_HAND + TILE_BYTES;

// Words of a row's state.
export const ROW_MAX: usize = 0; // f32 running maximum
export const ROW_SUM: usize = 4; // f32 running sum
export const ROW_QSCALE: usize = 8; // f32 value of one step of query16
export const ROW_SSCALE: usize = 12; // f32 the same of sketch16
export const ROW_LOW: usize = 16; // i32 first key
export const ROW_SINKS: usize = 20; // i32 keys below this have 16-bit copies
export const ROW_RECENT: usize = 24; // i32 keys from this one on have 16-bit copies
export const ROW_END: usize = 28; // i32 one past the last key
export const ROW_FROM: usize = 32; // i32 columns of the tile at hand that the row sees
export const ROW_TO: usize = 36;
export const ROW_QBIAS: usize = 40; // i32 what half levels add to a sum of query16
export const ROW_WSTEP: usize = 44; // f32 value of one step of the weights times one of the codebook
export const ROW_WBIAS: usize = 48; // i32 what half levels add to a sum of the weights
