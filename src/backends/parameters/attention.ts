/**
 * @file Parameters of the WASM attention and append kernels: a step's
 * rows and a layer's constants. Addresses are bytes of the WASM memory.
 */
import { SEARCH_FACTORS } from "../../quant/vector-quantizer.ts";
import { Struct } from "./struct.ts";

/** Numbers of the types of a side. Code widths are 1 to 8; these are the others. */
export const SIDE_TYPES = {
  /** Two-bit codes in a trellis, which need a number of their own. */
  trellis: 9,
  f16: 16,
  f32: 32,
  q8_0: 40,
  q4_0: 41,
  /** KIVI: this plus the code width. */
  kivi: 64,
} as const;

export const SCALE_RULES = { norm: 0, "norm-preserving": 1, "least-squares": 2 } as const;

/** `headMatrices`: outputs are multiplied by a matrix of their KV head. */
export const ROTATIONS = { none: 0, hadamard: 1, qr: 2, headMatrices: 3 } as const;

/** Scratch of a thread. Kernels that need more than this do not compile. */
export const SCRATCH_BYTES = 512 * 1024;

/** Rows of a KV head that one task of an append takes. */
export const APPEND_ROWS = 4;

/** Query rows that a thread's scratch memory holds, as many as a block of prefill has. */
export const MAX_ROWS = 32;

/** The part of a step that belongs to one sequence. */
export const span = new Struct({
  row: "u32",
  start: "u32",
  count: "u32",
  /** Addresses of the block tables. */
  main: "u32",
  residual: "u32",
  residualStart: "u32",
  /** In prefill: number of blocks of all spans before this one. */
  firstBlock: "u32",
  /** Address of a `tierPages` for each coarser tier. */
  tiers: "u32",
});

/** Pages of one sequence in a coarser tier. */
export const tierPages = new Struct({
  /** Address of the block table. */
  table: "u32",
  /** Number of first pages that were in the tier, or in a coarser one, before the step. */
  pages: "u32",
});

export const attendSide = new Struct({
  type: "u32",
  /** Offsets of the side's regions in a page. Absent planes repeat the first one, whose bytes a kernel may load but does not use. */
  plane0: "u32",
  plane1: "u32",
  plane2: "u32",
  scales: "u32",
  /** Address of the codebook's table. */
  table: "u32",
  /** Value of one int16 step, 1/√headDim included; 1 for blocks. */
  step: "f32",
  /** The largest |int16| of a centroid, or integer of a block. */
  largest: "f32",
  sketchSigns: "u32",
  sketchNorms: "u32",
  /** Address of the sketch's projection matrix; 0 without a sketch. */
  sketchMatrix: "u32",
  /** √(π/2) over the number of projections. */
  sketchFactor: "f32",
  /** Number of projections: rows of the matrix and bits in a row of signs. A multiple of 8. */
  sketchRows: "u32",
  /** Coordinates of a vector of this side. */
  dim: "u32",
  _reserved: { numBytes: 8 },
});

/** A coarser tier of a layer (src/cache/states/tiers.ts). */
export const attendTier = new Struct({
  after: "u32",
  _reserved: { numBytes: 12 },
  kSide: attendSide,
  vSide: attendSide,
});

export const attend = new Struct({
  /** Coordinates of a value rounded up to 32, as many as an accumulator has. */
  padded: "u32",
  numHeads: "u32",
  numKvHeads: "u32",
  /** Query heads for each KV head. */
  group: "u32",
  query: "u32",
  out: "u32",
  /** Address of the splits' partial results: [row][head][split] of (padded + 2) f32. */
  partials: "u32",
  spans: "u32",
  numSplits: "u32",
  splitTokens: "u32",
  sinks: "u32",
  window: "u32",
  sliding: "u32",
  /** Tokens that a key stands for; a query attends to those whose last token it sees. */
  tokensPerRow: "u32",
  /** 1: a query attends to the chunk of `sliding` positions that it is in, instead of a window. */
  chunked: "u32",
  hasResidual: "u32",
  pageTokens: "u32",
  residualTokens: "u32",
  residualK: "u32",
  residualV: "u32",
  /** Inverse rotation of V, one of ROTATIONS. */
  rotation: "u32",
  rotationSize: "u32",
  rotationRounds: "u32",
  /** Hadamard: signs of the rounds · matrix: the transposed matrix. */
  rotationData: "u32",
  rowsPerBlock: "u32",
  /** Scores become softcap · tanh(score / softcap); 0 for scores as they are. */
  softcap: "f32",
  /** f32 [numHeads] of logits that take part in the softmax, or 0. */
  sinkLogits: "u32",
  /** What is returned is multiplied by it. */
  valueScale: "f32",
  /** Of latent attention: coordinates of the rotary key parts, 0 without them; their type, f16 or f32; their offsets in pages. */
  rotaryDim: "u32",
  rotaryType: "u32",
  rotaryPlane: "u32",
  residualRotary: "u32",
  /** Bits of the tokens that each row of the step attends to, u32 [rows][chosenLists][chosenWords], 1 or numKvHeads lists; 0 for all. */
  chosen: "u32",
  chosenLists: "u32",
  chosenWords: "u32",
  /**
   * Of the scores of an indexer: weights of its heads, f32 [rows][numHeads], and their sums, f32 [rows][scoreStride]. Without weights, 0, the scores
   * of each head, f32 [rows][numHeads][scoreStride].
   */
  headWeights: "u32",
  scores: "u32",
  scoreStride: "u32",
  /** f32 [rows][numHeads] for the logarithms of the sums of weights, or 0. */
  logSums: "u32",
  /** Addresses of an `attendSide` each for sinks and window of 8 bits, or 0; `residualK` and `residualV` are not used then. */
  kWindow: "u32",
  vWindow: "u32",
  /** Address of an `attendTier` for each coarser tier, and their number. */
  tiers: "u32",
  numTiers: "u32",
  kSide: attendSide,
  vSide: attendSide,
});

/**
 * The tile of keys or values that the attention kernels are at: what the loop over tiles says to the kernels of each type. It
 * lies in the scratch of a thread.
 */
export const tile = new Struct({
  page: "u32",
  /** Offset of the side's first plane in the page. */
  plane: "u32",
  /** Rows of a head in a page. */
  tokens: "u32",
  head: "u32",
  /** The tile's first row in a plane of a page: that of the head and the key. */
  first: "u32",
  /** Keys, a multiple of 4. */
  count: "u32",
  /** Query rows. */
  rows: "u32",
  /** Of keys: where the values of the tile begin, and the bytes of a row that are touched for the caches. */
  ahead: "u32",
  aheadStep: "u32",
  _reserved: { numBytes: 28 },
});

export const appendSide = new Struct({
  type: "u32",
  /** As in `attendSide`. */
  plane0: "u32",
  plane1: "u32",
  plane2: "u32",
  scales: "u32",
  rotated: "u32",
  /** One of SCALE_RULES. */
  rule: "u32",
  search: "u32",
  /** Address of a `quantizerTable`. */
  quantizer: "u32",
  sketchSigns: "u32",
  sketchNorms: "u32",
  sketchMatrix: "u32",
  /** Number of projections, a multiple of 8. */
  sketchRows: "u32",
  /** f32 [numKvHeads] matrices [dim][dim], or 0; likewise `queryMatrix`, which only the K side has. */
  forward: "u32",
  queryMatrix: "u32",
  /** f32 [numKvHeads][dim + 1][dim], or 0. */
  feedback: "u32",
  /** Coordinates of a vector of this side. */
  dim: "u32",
  /** Of vectors that are `rotated` and have no matrix: one of ROTATIONS. */
  rotation: "u32",
  rotationSize: "u32",
  rotationRounds: "u32",
  /** Address of the signs or of the matrix. */
  rotationData: "u32",
  /** Of an 8-bit window, or of pages in tiers: f32 [2^bits] of the centroids for unit vectors, from which codes are made anew; or 0. */
  centroids: "u32",
  _reserved: { numBytes: 8 },
});

export const append = new Struct({
  numHeads: "u32",
  numKvHeads: "u32",
  qkv: "u32",
  query: "u32",
  /** f32, as long as a key, or 0. */
  qNorm: "u32",
  kNorm: "u32",
  /** f32, as long as a value, or 0. */
  vNorm: "u32",
  /** 1: q and k are normed behind RoPE. */
  normsTurned: "u32",
  /** 1: rows are queries alone, and nothing is stored. */
  isShared: "u32",
  eps: "f32",
  /** f32 [row], half as long as a key. */
  cos: "u32",
  sin: "u32",
  /** f32 [row] of factors of queries, or 0. */
  queryGrowth: "u32",
  /** f32 [numKvHeads], as long as a key, or 0. */
  mean: "u32",
  balance: "u32",
  softmaxScale: "f32",
  /** Address of a `slot` for each row. */
  slots: "u32",
  pageTokens: "u32",
  residualTokens: "u32",
  residualK: "u32",
  residualV: "u32",
  numRows: "u32",
  /** Of latent attention, as in `attend`. */
  rotaryDim: "u32",
  rotaryType: "u32",
  rotaryPlane: "u32",
  residualRotary: "u32",
  /** As in `attend`, of an `appendSide` each. When pages are coded anew for a coarser tier, what they are read as. */
  kWindow: "u32",
  vWindow: "u32",
  /** 1: codes are made from the 8 bits of the window, and only of rows whose slot has a page for them. */
  isAlone: "u32",
  /** Rows of earlier steps that the window has passed in this one; their slots follow those of the step's rows. */
  numPassed: "u32",
  kSide: appendSide,
  vSide: appendSide,
});

/** Where K and V of a row are stored; `residual` is 0 for a row without a copy, `main` for one without codes. */
export const slot = new Struct({ main: "u32", mainRow: "u32", residual: "u32", residualRow: "u32" });

/** A bin of a `quantizerTable`: 16 bytes, which kernels load as one vector. */
export const quantizerBin = new Struct({
  /** Infinity when no boundary is in the bin. */
  boundary: "f32",
  /** Positive centroids on the two sides of the boundary. */
  below: "f32",
  above: "f32",
  /** Number of positive boundaries below the bin's. */
  boundariesBelow: "i32",
});

/** What the append kernel needs of a codebook; see src/backends/wasm/quantizer-table.ts. */
export const quantizerTable = new Struct({
  /** Bins in a unit of |t|. */
  rate: "f32",
  lastBin: "f32",
  /** 1 where the bytes of `small…` are there. */
  isSmall: "u32",
  _aligned: { numBytes: 4 },
  factors: ["f32", SEARCH_FACTORS.length],
  /** 1 / factor. */
  inverses: ["f32", SEARCH_FACTORS.length],
  _reserved: { numBytes: 8 },
  /** Of at most 16 bins u8 [4][16]: the four bytes of their boundaries, each in a plane of its own. */
  smallBoundaries: { numBytes: 64 },
  /** u8 [16]: `boundariesBelow`. */
  smallBelow: { numBytes: 16 },
  /** u8 [4][16]: bytes of the positive centroids, in planes too. */
  smallCentroids: { numBytes: 64 },
  /** A `quantizerBin` each. */
  bins: { numBytes: 0 },
});
