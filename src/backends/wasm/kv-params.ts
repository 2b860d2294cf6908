/**
 * @file Parameter blocks of the append and attention kernels: the TypeScript side of assembly/store/params.ts and
 * assembly/attend/params.ts.
 */
import type { SideFormat } from "../../quant/kv-format.ts";
import { codeBits, type Region, type SideLayout } from "../../quant/page-layout.ts";

/** Bytes of a block; both kernels' fit. */
export const PARAM_BYTES = 256;
export const SPAN_BYTES = 32;
export const K_SIDE = 96;
export const V_SIDE = 160;

/** Offsets in the attention block. */
export const ATTEND = {
  headDim: 0,
  padded: 4,
  numHeads: 8,
  numKvHeads: 12,
  group: 16,
  query: 20,
  out: 24,
  partials: 28,
  spans: 32,
  numSplits: 36,
  splitTokens: 40,
  sinks: 44,
  window: 48,
  sliding: 52,
  hasExact: 56,
  pageTokens: 60,
  exactTokens: 64,
  exactK: 68,
  exactV: 72,
  rotation: 76,
  rotationSize: 80,
  rotationRounds: 84,
  rotationData: 88,
  rowsPerBlock: 92,
} as const;

/** Offsets in a side of the attention block. */
export const ATTEND_SIDE = {
  type: 0,
  planes: [4, 8, 12],
  scales: 16,
  table: 20,
  step: 24,
  largest: 28,
  sketchSigns: 32,
  sketchNorms: 36,
  sketchMatrix: 40,
  sketchFactor: 44,
  sketchRows: 48,
} as const;

/** Offsets in the append block. */
export const APPEND = {
  headDim: 0,
  numHeads: 4,
  numKvHeads: 8,
  qkv: 12,
  query: 16,
  qNorm: 20,
  kNorm: 24,
  eps: 28,
  cos: 32,
  sin: 36,
  mean: 40,
  balance: 44,
  softmaxScale: 48,
  rotation: 52,
  rotationSize: 56,
  rotationRounds: 60,
  rotationData: 64,
  slots: 68,
  pageTokens: 72,
  exactTokens: 76,
  exactK: 80,
  exactV: 84,
  numRows: 88,
} as const;

/** Offsets in a side of the append block. */
export const APPEND_SIDE = {
  type: 0,
  planes: [4, 8, 12],
  scales: 16,
  rotated: 20,
  rule: 24,
  search: 28,
  quantizer: 32,
  sketchSigns: 36,
  sketchNorms: 40,
  sketchMatrix: 44,
  sketchRows: 48,
  forward: 52,
  queryMatrix: 56,
  feedback: 60,
} as const;

/** Offsets in a span. */
export const SPAN = { row: 0, start: 4, count: 8, main: 12, exact: 16, exactStart: 20, firstBlock: 24 } as const;

/** Bound of the integers of q8_0 and q4_0r, whose step is 1: the counterpart of a codebook's. */
export const LARGEST_IN_BLOCK = 128;

export const SCALE_RULES = { norm: 0, "norm-preserving": 1, "least-squares": 2 } as const;
export const ROTATIONS = { none: 0, hadamard: 1, qr: 2 } as const;
/** How the attention block names outputs that are multiplied by a matrix of their KV head. */
export const HEAD_MATRICES = 3;

/** How kernels name a type: code widths 1–8 for tqN, 9 for a trellis, others above; KIVI is its width above 64. */
export function typeCode({ type, trellis }: Pick<SideFormat, "type" | "trellis">): number {
  if (trellis) return 9;
  if (type === "f16") return 16;
  if (type === "f32") return 32;
  if (type === "q8_0") return 40;
  if (type === "q4_0r") return 41;
  if (type.startsWith("kivi")) return 64 + codeBits(type);
  return codeBits(type);
}

/** Tasks of an append: up to four rows of a KV head (assembly/store/append.ts). */
export const appendTasks = (rows: number, numKvHeads: number): number => Math.ceil(rows / 4) * numKvHeads;

/** Writes u32 words by offset. */
export function putWords(view: DataView, base: number, words: readonly (readonly [number, number])[]): void {
  for (const [offset, value] of words) view.setUint32(base + offset, value, true);
}

/** Plane offsets of a side; absent planes repeat the first, whose bytes a kernel may load but does not use. */
export function planeWords(layout: SideLayout, offsets: readonly number[]): [number, number][] {
  return offsets.map((offset, i) => [offset, (layout.planes[i] ?? layout.planes[0]!).offset]);
}

export const offsetOf = (region: Region | null | undefined): number => region?.offset ?? 0;
