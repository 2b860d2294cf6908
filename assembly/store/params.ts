/** @file The struct that src/backends/wasm/kv-params.ts writes. */
export const HEAD_DIM: usize = 0;
export const NUM_HEADS: usize = 4;
export const NUM_KV_HEADS: usize = 8;
export const QKV: usize = 12;
export const QUERY: usize = 16;
export const Q_NORM: usize = 20; // f32 [headDim] or 0
export const K_NORM: usize = 24;
export const EPS: usize = 28; // f32
export const COS: usize = 32; // f32 [row][headDim/2]
export const SIN: usize = 36;
export const MEAN: usize = 40; // f32 [numKvHeads][headDim] or 0
export const BALANCE: usize = 44;
export const SOFTMAX_SCALE: usize = 48; // f32
export const ROTATION: usize = 52; // 1 Hadamard, 2 matrix
export const ROTATION_SIZE: usize = 56;
export const ROTATION_ROUNDS: usize = 60;
export const ROTATION_DATA: usize = 64; // signs, or the matrix
/** u32 [row][4]: main page, row in it, exact page or 0, row in it. */
export const SLOTS: usize = 68;
export const PAGE_TOKENS: usize = 72;
export const EXACT_TOKENS: usize = 76;
export const EXACT_K: usize = 80;
export const EXACT_V: usize = 84;
export const NUM_ROWS: usize = 88;
export const K_SIDE: usize = 96;
export const V_SIDE: usize = 160;

// Words of a side.
export const TYPE: usize = 0; // as in attention/params
export const PLANE_0: usize = 4;
export const PLANE_1: usize = 8;
export const PLANE_2: usize = 12;
export const SCALES: usize = 16;
export const ROTATED: usize = 20;
export const RULE: usize = 24; // 0 norm, 1 norm-preserving, 2 least-squares
export const SEARCH: usize = 28;
/** Quantizer tables (src/backends/wasm/quantizer-table.ts). */
export const QUANTIZER: usize = 32;
export const SKETCH_SIGNS: usize = 36;
export const SKETCH_NORMS: usize = 40;
export const SKETCH_MATRIX: usize = 44;
export const SKETCH_ROWS: usize = 48; // projections, a multiple of 8
// f32 [numKvHeads] matrices each, or 0: [headDim][headDim], of the feedback [headDim + 1][headDim].
export const FORWARD: usize = 52;
export const QUERY_MATRIX: usize = 56; // of the K side
export const FEEDBACK: usize = 60;

// Quantizer table.
export const Q_RATE: usize = 0; // f32 bins a unit of |t|
export const Q_LAST_BIN: usize = 4; // f32
export const Q_IS_SMALL: usize = 8; // u32 1 where Q_SMALL is there
export const Q_FACTORS: usize = 16; // f32 [9]
export const Q_INVERSES: usize = 52; // f32 [9], 1 / factor
/** u8 [4][16] bytes of the bins' boundaries, u8 [16] boundaries below the bins, u8 [4][16] bytes of the positive centroids. */
export const Q_SMALL: usize = 96;
/** [bin] of f32 boundary, f32 centroid below, f32 centroid above, i32 boundaries below. */
export const Q_BINS: usize = 240;
