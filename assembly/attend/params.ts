/** @file The structs that src/backends/wasm/attention-params.ts writes, and the layout of a thread's scratch. */

// Words (u32 or f32) of the parameter block.
export const HEAD_DIM: usize = 0;
/** headDim rounded up to 32: what kernels iterate over; the query is zero beyond headDim. */
export const PADDED: usize = 4;
export const NUM_HEADS: usize = 8;
export const NUM_KV_HEADS: usize = 12;
/** Query heads a KV head. */
export const GROUP: usize = 16;
export const QUERY: usize = 20;
export const OUT: usize = 24;
/** Partial results of splits: [row][head][split] of (headDim padded + 2) f32. */
export const PARTIALS: usize = 28;
export const SPANS: usize = 32;
export const NUM_SPLITS: usize = 36;
export const SPLIT_TOKENS: usize = 40;
export const SINKS: usize = 44;
export const WINDOW: usize = 48;
export const SLIDING: usize = 52;
export const HAS_EXACT: usize = 56;
export const PAGE_TOKENS: usize = 60;
export const EXACT_TOKENS: usize = 64;
export const EXACT_K: usize = 68;
export const EXACT_V: usize = 72;
/** Inverse rotation of V: 0 none, 1 Hadamard, 2 matrix, 3 a matrix for each KV head. */
export const ROTATION: usize = 76;
export const ROTATION_SIZE: usize = 80;
export const ROTATION_ROUNDS: usize = 84;
/** Hadamard: signs of the rounds · matrix: the transposed matrix. */
export const ROTATION_DATA: usize = 88;
export const ROWS_PER_BLOCK: usize = 92;
export const K_SIDE: usize = 96;
export const V_SIDE: usize = 160;
export const PARAM_BYTES: usize = 224;

// Words of a side.
export const TYPE: usize = 0;
export const PLANE_0: usize = 4;
export const PLANE_1: usize = 8;
export const PLANE_2: usize = 12;
export const SCALES: usize = 16;
export const TABLE: usize = 20;
/** f32: value of one int16 step, 1/√headDim included; 1 for blocks. */
export const STEP: usize = 24;
/** f32: largest |int16| centroid, or integer of a block. */
export const LARGEST: usize = 28;
export const SKETCH_SIGNS: usize = 32;
export const SKETCH_NORMS: usize = 36;
/** Projection matrix of the sketch, 0 when there is none. */
export const SKETCH_MATRIX: usize = 40;
/** f32: √(π/2) over the number of projections */
export const SKETCH_FACTOR: usize = 44;
/** Projections: rows of the matrix, bits of a row of signs. A multiple of 8, at most MAX_SKETCH. */
export const SKETCH_ROWS: usize = 48;

// Types of a side: 1–8 are code widths; kernels call a width BITS.
/** Codes of two bits in a trellis: a width of its own. */
export const TRELLIS: i32 = 9;
export const TYPE_F16: i32 = 16;
export const TYPE_F32: i32 = 32;
export const TYPE_Q8_0: i32 = 40;
export const TYPE_Q4_0: i32 = 41;
/** KIVI: this and its code width. */
export const TYPE_KIVI: i32 = 64;

// Words of a span.
export const SPAN_ROW: usize = 0;
export const SPAN_START: usize = 4;
export const SPAN_COUNT: usize = 8;
export const SPAN_MAIN: usize = 12;
export const SPAN_EXACT: usize = 16;
export const SPAN_EXACT_START: usize = 20;
/** Prefill: number of blocks of all spans before this one. */
export const SPAN_FIRST_BLOCK: usize = 24;
export const SPAN_BYTES: usize = 32;

// Scratch of a thread: MAX_ROWS query rows, tiles of MAX_TILE keys, heads of at most MAX_DIM (src/quant/head-dim.ts). More
// query heads a KV head than MAX_ROWS are taken in parts.
export const MAX_ROWS: usize = 32;
export const MAX_TILE: usize = 64;
export const MAX_DIM: usize = 576;
export const MAX_SKETCH: usize = 576;
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
/** Somewhere to leave bytes that were only read to have them in the caches. */
export const S_TOUCHED: usize = S_ROWS + MAX_ROWS * ROW_BYTES;
export const S_END: usize = S_TOUCHED + 64;

// Words of a row's state.
export const ROW_MAX: usize = 0; // f32 running maximum
export const ROW_SUM: usize = 4; // f32 running sum
export const ROW_QSCALE: usize = 8; // f32 value of one step of query16
export const ROW_SSCALE: usize = 12; // f32 the same of sketch16
export const ROW_LOW: usize = 16; // i32 first key
export const ROW_SINKS: usize = 20; // i32 keys below this are exact
export const ROW_RECENT: usize = 24; // i32 keys from this one on are exact
export const ROW_END: usize = 28; // i32 one past the last key
export const ROW_FROM: usize = 32; // i32 columns of the tile at hand that the row sees
export const ROW_TO: usize = 36;
export const ROW_QBIAS: usize = 40; // i32 what half levels add to a sum of query16
export const ROW_WSTEP: usize = 44; // f32 value of one step of the weights times one of the codebook
export const ROW_WBIAS: usize = 48; // i32 what half levels add to a sum of the weights
