/**
 * @file Parameters of the attention kernels, declared in src/backends/parameters/attention.ts, and the layout of a thread's
 * scratch memory. The constants S_… are byte offsets in it, and the constants ROW_… are byte offsets in the state of a row.
 */

import { TILE_BYTES } from "../generated/attend-params";
import { TYPE_TRELLIS } from "../generated/kv-numbers";
import { MAX_DIM, MAX_ROWS, MAX_SKETCH } from "../generated/limits";

export * from "../generated/attend-params";
export * from "../generated/kv-numbers";
export * from "../generated/limits";

/** The type of two-bit codes in a trellis. Kernels take it as a value of BITS, next to the widths 1 to 8. */
export const TRELLIS: i32 = TYPE_TRELLIS;

// The scratch memory of a thread holds MAX_ROWS query rows and one tile of at most MAX_TILE keys, with a head_dim of at most
// MAX_DIM. A row is one query head at one position. A KV head with more query heads than MAX_ROWS is processed in parts.
export const MAX_TILE: usize = 64;
export const S_QUERY: usize = 0; // f32 [MAX_ROWS][MAX_DIM]
export const S_QUERY16: usize = S_QUERY + MAX_ROWS * MAX_DIM * 4; // i16 [MAX_ROWS][MAX_DIM], in the order of unpacked codes
export const S_SKETCH16: usize = S_QUERY16 + MAX_ROWS * MAX_DIM * 2; // i16 [MAX_ROWS][MAX_SKETCH], projected queries
export const S_ACC: usize = S_SKETCH16 + MAX_ROWS * MAX_SKETCH * 2; // f32 [MAX_ROWS][MAX_DIM]
export const S_SCORES: usize = S_ACC + MAX_ROWS * MAX_DIM * 4; // f32 [MAX_ROWS][MAX_TILE]
export const S_WEIGHTS: usize = S_SCORES + MAX_ROWS * MAX_TILE * 4; // i16 [MAX_ROWS][MAX_TILE]
export const S_SUMS: usize = S_WEIGHTS + MAX_ROWS * MAX_TILE * 2; // 16-byte vectors [2][MAX_TILE], sums of two rows
export const S_SCALES: usize = S_SUMS + 2 * MAX_TILE * 16; // f32 [MAX_TILE]
export const S_BLOCK_SCALES: usize = S_SCALES + MAX_TILE * 4; // f32 [MAX_DIM / 32][MAX_TILE]
export const S_PRODUCTS: usize = S_BLOCK_SCALES + (MAX_DIM / 32) * MAX_TILE * 4; // f32 [MAX_TILE + 4], weights times scales
export const S_TILE: usize = S_PRODUCTS + MAX_TILE * 4 + 16; // i16 or f32 [MAX_TILE][MAX_DIM]
export const S_ROWS: usize = S_TILE + MAX_TILE * MAX_DIM * 4; // MAX_ROWS of ROW_BYTES
export const ROW_BYTES: usize = 64;
/** Bytes that are read only to bring them into the caches are stored here, so that the compiler keeps the reads. */
export const S_TOUCHED: usize = S_ROWS + MAX_ROWS * ROW_BYTES;
export const S_AT_HAND: usize = S_TOUCHED + 64; // the `tile` struct of src/backends/parameters/attention.ts
export const S_END: usize = S_AT_HAND + TILE_BYTES;

// The state of a row. Keys are numbered by their position in the sequence.
export const ROW_MAX: usize = 0; // f32 running maximum
export const ROW_SUM: usize = 4; // f32 running sum
export const ROW_QSCALE: usize = 8; // f32 value of one step of query16
export const ROW_SSCALE: usize = 12; // f32 value of one step of the projected query
export const ROW_LOW: usize = 16; // i32 first key, where the sliding window starts
export const ROW_SINKS: usize = 20; // i32 keys below this one are sinks, which are read from their 16-bit copies
export const ROW_RECENT: usize = 24; // i32 keys from this one on are in the residual window and are read from their 16-bit copies
export const ROW_END: usize = 28; // i32 one past the last key
export const ROW_FROM: usize = 32; // i32 keys from this one on and below the next are read from the pages of codes at hand
export const ROW_TO: usize = 36;
export const ROW_QBIAS: usize = 40; // i32 half the sum of query16, see `isHalved`
export const ROW_WSTEP: usize = 44; // f32 value of one step of the weights times one step of the codebook
export const ROW_CHOSEN: usize = 52; // u32 address of the bits of the tokens that the row attends to, or 0
export const ROW_WEIGHT: usize = 56; // f32 weight of the row's score, of an indexer
export const ROW_TARGET: usize = 60; // u32 address of the sums that the row's scores are added to, f32 by position; 0 in attention
export const ROW_WBIAS: usize = 48; // i32 half the sum of the weights, see `isHalved`
