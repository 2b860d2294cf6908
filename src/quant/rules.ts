/** @file Choices that several codecs and the format of a layer have in common. */

/** Possible widths of the code of one coordinate. */
export type Bits = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

export type RotationKind = "hadamard" | "qr" | "none";

/**
 * How the stored scale is chosen for a code vector c and a rotated unit vector y of norm n.
 * `norm`: n (as published) · `norm-preserving`: n/‖c‖ · `least-squares`: n⟨y,c⟩/‖c‖²
 */
export type ScaleRule = "norm" | "norm-preserving" | "least-squares";
