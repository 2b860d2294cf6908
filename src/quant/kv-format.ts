/** @file What a KV cache stores: the type of each side, the exact segments around it, and the rotation. */

/** Widths a TurboQuant code may have. */
export type Bits = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/**
 * Storage type of K or of V.
 *
 * `tqN`: N-bit Lloyd–Max codes of the rotated vector and one f16 scale · `q8_0`/`q4_0r`: blocks of 32 with an f16
 * scale each (the latter rotated first) · `kiviN`: per-channel K in groups of 64 tokens (a page), per-token V.
 */
export type KvType = "f32" | "f16" | "q8_0" | "q4_0r" | `tq${Bits}` | `kivi${Bits}`;

export type RotationKind = "hadamard" | "qr" | "none";

/**
 * How the stored scale is chosen for a code vector c and a rotated unit vector y of norm n.
 * `norm`: n (as published) · `norm-preserving`: n/‖c‖ · `least-squares`: n⟨y,c⟩/‖c‖².
 */
export type ScaleRule = "norm" | "norm-preserving" | "least-squares";

export interface SideFormat {
  readonly type: KvType;
  readonly scale: ScaleRule;
  /** Try nine scales a vector and keep the codes of best cosine. */
  readonly search: boolean;
  /** Use the calibration's dense transform where there is one; otherwise keys keep its mean and balance (tqN only). */
  readonly transform: boolean;
  /** Round with error feedback where the calibration knows the metric (tqN only). */
  readonly feedback: boolean;
  /** Trellis-coded: a value depends on the code before it too (trellis.ts; tq2 only, and not with a sketch). */
  readonly trellis?: boolean | undefined;
  /** TurboQuant_prod: `tqN` codes plus a 1-bit QJL sketch of the residual (K only). */
  readonly qjl: boolean;
  /** Projections of the sketch, a multiple of 8 from 8 to 512; head_dim of them when absent. */
  readonly projections?: number;
  /** Lloyd's iterations of the codebook, to see what stopping early costs; the optimum when absent. */
  readonly codebookIterations?: number;
}

/** The format of one layer. */
export interface LayerKvFormat {
  readonly k: SideFormat;
  readonly v: SideFormat;
  /** First tokens of a sequence that attention reads in 16 bit. */
  readonly sinks: number;
  /** Most recent tokens (the query's own included) that attention reads in 16 bit. */
  readonly window: number;
  readonly rotation: RotationKind;
  readonly seed: number;
}
