/** @file Operations on states of fixed size as backends are told of them: convolutions, delta rules and scans. */
import type { Buf, Weight } from "./buffers.ts";

/** Where a block keeps numbers in the state that it has in each sequence. */
export interface StatePart {
  /** Index of the state among the sequence's states of fixed size (`Sequence.recurrent`). */
  readonly index: number;
  /** Where the part begins in the state's page, in bytes; a multiple of `STATE_ALIGNMENT`. */
  readonly offset: number;
}

/** Bytes that parts of a state begin at multiples of. */
const STATE_ALIGNMENT = 16;

/** Bytes of a part of a state, up to where the next part may begin. */
export const alignedPart = (numBytes: number): number => Math.ceil(numBytes / STATE_ALIGNMENT) * STATE_ALIGNMENT;

/** The part of a row of a buffer that an operation reads: `first` is its first column, and rows have `stride` values. */
export interface Columns {
  readonly first: number;
  readonly stride: number;
}

/** The longest kernel of a causal convolution, as published models have up to seven. */
export const MAX_KERNEL = 8;

/** The most tokens before its own that a convolution reaches. */
export const MAX_REACH = 31;

/** Bytes of a convolution's part of a state. */
export const convolutionBytes = (channels: number, kernel: number, dilation = 1): number =>
  4 * channels * (kernel - 1) * dilation;

/** The longest heads of a delta rule. */
export const MAX_DELTA_DIM = 256;
/**
 * The width that heads of `dim` coordinates have for a delta rule, with zeros behind them where it is more: kernels take four columns at a
 * time, and zeros change neither products nor lengths.
 */
export const storedDeltaDim = (dim: number): number => Math.ceil(dim / 4) * 4;
/** What is added to the squared length of queries and keys before they are divided by it. */
export const DELTA_EPS = 1e-6;

/** Factors of a row's values: one for each `repeat` values that are beside each other. */
export interface Gates extends Columns {
  readonly repeat: number;
  /** `none`: factors as they are. */
  readonly activation: "sigmoid" | "silu" | "none";
}

/** Bytes of a scan's part of a state. */
export const scanBytes = (of: {
  readonly numHeads: number;
  readonly headDim: number;
  readonly stateSize: number;
}): number => 4 * of.numHeads * of.headDim * of.stateSize;

/** The largest limit of step sizes that kernels are told: Infinity is no number for all of them. */
export const MAX_STEP = 3e38;

/**
 * A causal convolution of each channel over the tokens of a sequence, as in LFM2, Mamba and gated delta nets.
 *
 * The state holds the inputs of the last (kernel − 1) · dilation tokens, f32 [tokens][channels], the oldest first; zeros stand for those
 * before the first token.
 */
export interface Convolution {
  readonly state: StatePart;
  readonly channels: number;
  /** Taps of a channel, 2 to MAX_KERNEL. */
  readonly kernel: number;
  /** Tokens from a tap to the next; absent: 1. (kernel − 1) · dilation is at most MAX_REACH. */
  readonly dilation?: number;
  /** f32 [channels · kernel], the taps of a channel side by side; the last one is that of the token itself. */
  readonly weight: Weight;
  /** f32 [channels] */
  readonly bias: Weight | null;
  /** Of the sum, before the gate of outputs. */
  readonly activation: "none" | "silu";
  /** The channels in rows of the input. */
  readonly input: Columns;
  /** First columns, in the same rows, of factors of inputs and of outputs; null for none. */
  readonly inputGate: number | null;
  readonly outputGate: number | null;
}

/**
 * The gated delta rule (arXiv 2412.06464), or with a decay for each channel of keys Kimi delta attention (arXiv 2510.26692).
 *
 * The state is a matrix S a head, f32 [numHeads][keyDim][valueDim]. A token has a query q and a key k, divided by their lengths
 * (and q by √keyDim), a value v, a decay d and a rate β: S ← d·S, then S ← S + k ⊗ β(v − kᵀS); its output is qᵀS. A head of
 * q and k serves numHeads / numKeyHeads heads of v.
 */
export interface DeltaRule {
  readonly state: StatePart;
  readonly numHeads: number;
  readonly numKeyHeads: number;
  /** Whether the heads of v that a head of q and k serves are numKeyHeads apart; absent: they are beside each other. */
  readonly isTiled?: boolean;
  /** Multiples of 4, at most MAX_DELTA_DIM. */
  readonly keyDim: number;
  readonly valueDim: number;
  /** β is this times the sigmoid of its input: 1, or 2 for negative eigenvalues. */
  readonly rateScale: number;
  /** First columns of the inputs of β, and of the decay, a head or with `isByChannel` a channel of keys. */
  readonly rate: Columns;
  readonly decay: Columns;
  readonly isByChannel: boolean;
  /** The decay is exp(−exp(log)·softplus(x + bias)), or with a bound exp(bound·sigmoid(exp(log)·(x + bias))); f32 [numHeads]. */
  readonly decayLog: Weight;
  /** f32, as many as there are inputs of the decay. */
  readonly decayBias: Weight;
  /** Below 0; null for none. */
  readonly decayBound: number | null;
}

/**
 * The scan of a state space layer (Mamba, arXiv 2405.21060): for each head and token
 * h = exp(−dt · exp(A)) · h + dt · x ⊗ B and y = h · C + D · x, with dt = softplus(step + bias) within its limits.
 *
 * The state holds h, f32 [numHeads][headDim][stateSize]; zeros stand for that before the first token.
 */
export interface Scan {
  readonly state: StatePart;
  readonly numHeads: number;
  readonly headDim: number;
  /** Heads of a group share B and C; a divisor of numHeads. */
  readonly numGroups: number;
  readonly stateSize: number;
  /** f32, one after the other: A (ln of the rates), [numHeads] or [numHeads][stateSize]; D, [numHeads]; biases of steps, [numHeads]. */
  readonly parameters: Weight;
  /** Whether each state of a head has a rate of its own (Mamba 1, whose heads are channels). */
  readonly isPerState: boolean;
  /** Limits of dt; maxStep may be Infinity. */
  readonly minStep: number;
  readonly maxStep: number;
  /** Where rows of x have [numHeads][headDim] values, and rows of steps [numHeads]. */
  readonly x: Columns;
  readonly steps: Columns;
  /** First columns of B and of C, [numGroups][stateSize] each, in rows of `stride` values. */
  readonly vectors: { readonly b: number; readonly c: number; readonly stride: number };
}

/** What is scanned: buffers of x, of B and C, and of step sizes, which may be the same. */
export interface ScanInputs {
  readonly x: Buf;
  readonly vectors: Buf;
  readonly steps: Buf;
}

/**
 * Rows that stand for several tokens each: means of what each of `tokensPerRow` neighbours has, coordinate by coordinate. With gates they are weighted by
 * the softmax of their gates, with a bias by place. With two series a token has two values and gates: the second ones are for the mean that it is among
 * the tokens of, the first ones for the mean behind that one (DeepSeek-V4).
 *
 * Input rows are [series · width] values and then, if there are gates, as many of these. The state is that of `compressSpan`, f32 [series][3][width].
 */
export interface Compression {
  readonly state: StatePart;
  readonly tokensPerRow: number;
  readonly width: number;
  readonly series: 1 | 2;
  readonly isGated: boolean;
  /** Added to gates, f32 [tokensPerRow][series · width]; null for none. */
  readonly gateBias: Weight | null;
  /** Values of an input row. */
  readonly stride: number;
}

/**
 * Embeddings of the last tokens by hashes of their numbers. A table has several heads for each length of an n-gram from 2 to `size`: parts of its rows, one
 * behind the other, each of a prime number. A head's row is (t₀·m₀ xor t₁·m₁ xor …) mod that number, for the token t₀, those before it, and odd
 * multipliers m below 2⁶³ over the vocabulary. From an end token on, and before the first token, all earlier ones count as end tokens.
 *
 * The state holds the numbers of the last size − 1 tokens, the oldest first, each plus 1, as f32; 0 stands for none.
 */
export interface Ngrams {
  readonly state: StatePart;
  readonly size: number;
  readonly endToken: number;
  /** Of each place, as three numbers of 21 bits, the lowest first. */
  readonly multipliers: readonly (readonly [number, number, number])[];
  /** Rows of each head, those for pairs first, and the row of the table that each begins at. */
  readonly heads: readonly { readonly numRows: number; readonly first: number }[];
}
