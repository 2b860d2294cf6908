/** @file Norms and activations that every backend's kernels are compared with the reference over. */
import type { Activation, ActivationKind, Ops, RowNorm } from "../../src/backends/ops.ts";
import { gaussians, partOf, upload } from "./wasm-backend.ts";

export const ACTIVATION_KINDS: readonly ActivationKind[] = [
  ...(["silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "relu2", "xielu"] as const),
];

export interface NormCase {
  readonly kind: RowNorm["kind"];
  readonly hasBias: boolean;
  readonly add: boolean;
  /** Columns before and behind those that are normed. */
  readonly before: number;
  readonly behind: number;
  readonly isInPlace: boolean;
  readonly groups?: number;
  readonly isCompact?: true;
  /** Whether results are multiplied by a number at the end. */
  readonly hasFactor?: true;
  readonly cutoff?: number;
  /** Whether results have the length of other rows. */
  readonly hasLike?: true;
}

const both = [false, true] as const;

export const NORM_CASES: readonly NormCase[] = [
  ...(["rms", "layer"] as const).flatMap((kind) =>
    both.flatMap((hasBias) => both.flatMap((add) => [{ kind, hasBias, add, before: 0, behind: 0, isInPlace: false }])),
  ),
  { kind: "layer", hasBias: true, add: false, before: 0, behind: 0, isInPlace: true },
  { kind: "rms", hasBias: false, add: false, before: 0, behind: 5, isInPlace: true },
  { kind: "rms", hasBias: false, add: false, before: 8, behind: 3, isInPlace: true },
  { kind: "rms", hasBias: false, add: false, before: 8, behind: 3, isInPlace: false, isCompact: true },
  { kind: "layer", hasBias: true, add: true, before: 2, behind: 0, isInPlace: false, isCompact: true },
  { kind: "rms", hasBias: false, add: false, before: 0, behind: 0, isInPlace: true, groups: 3 },
  { kind: "layer", hasBias: true, add: true, before: 0, behind: 0, isInPlace: false, groups: 4 },
  { kind: "rms", hasBias: false, add: true, before: 0, behind: 0, isInPlace: false, hasFactor: true },
  { kind: "layer", hasBias: true, add: false, before: 0, behind: 0, isInPlace: true, hasFactor: true },
  { kind: "layer", hasBias: false, add: false, before: 0, behind: 7, isInPlace: true, cutoff: 0.3 },
  { kind: "layer", hasBias: false, add: false, before: 0, behind: 0, isInPlace: false, cutoff: -0.5 },
  { kind: "rms", hasBias: false, add: false, before: 0, behind: 0, isInPlace: true, hasLike: true },
  { kind: "rms", hasBias: false, add: true, before: 3, behind: 2, isInPlace: false, hasLike: true },
  { kind: "none", hasBias: false, add: false, before: 3, behind: 2, isInPlace: false, isCompact: true },
  { kind: "none", hasBias: true, add: true, before: 0, behind: 0, isInPlace: true },
];

/** `out` after the norm, [rows][stride]. */
export async function normed(ops: Ops, c: NormCase, width: number, rows: number): Promise<Float32Array> {
  const { groups = 1 } = c;
  const stride = (c.before + width + c.behind) * groups;
  // A mean that is large beside the deviation shows sums that lose digits.
  const x = gaussians(1, rows * stride, 3).map((value) => value + 2);
  const vector = (seed: number) => ops.loadWeight([partOf(gaussians(seed, width * groups), width * groups)], "f32");
  const input = upload(ops, x);
  const out = c.isInPlace ? input : upload(ops, gaussians(2, rows * stride));
  const norm: RowNorm = { kind: c.kind, weight: vector(3), bias: c.hasBias ? vector(4) : null, eps: 1e-5, add: c.add };
  const factor = c.hasFactor ? ops.loadWeight([partOf(Float32Array.of(-0.3), 1)], "f32") : null;
  ops.norm(
    input,
    {
      ...norm,
      factor,
      groups,
      isCompact: c.isCompact ?? false,
      ...(c.cutoff !== undefined && { cutoff: c.cutoff }),
      ...(c.hasLike && { like: { rows: upload(ops, gaussians(6, rows * (width + 3))), first: 3, stride: width + 3 } }),
      ...(stride !== width * groups && { first: c.before, stride }),
    },
    rows,
    out,
  );
  return ops.readback(out, rows * stride);
}

/** `out` of an activation, [rows][width], large and small inputs among them. */
export async function activated(
  ops: Ops,
  { kind, isGated }: Omit<Activation, "alphas">,
  width: number,
  rows: number,
): Promise<Float32Array> {
  const x = gaussians(5, rows * width * (isGated ? 2 : 1), 3);
  [-100, -1e-3, 0, 1e-4].forEach((value, i) => {
    if (i < x.length) x[i] = value;
  });
  const alphas = kind === "xielu" ? ops.loadWeight([partOf(Float32Array.of(0.7, -0.9), 1)], "f32") : null;
  const out = ops.alloc(rows * width);
  ops.activate(upload(ops, x), { kind, isGated, alphas }, rows, width, out);
  return ops.readback(out, rows * width);
}

/** The metric of `tolerance.activation`: results near 0 are differences of terms that are not. */
export function activationError(actual: Float32Array, expected: Float32Array): number {
  const difference = Math.hypot(...actual.map((value, i) => value - expected[i]!));
  return difference / Math.max(Math.hypot(...expected), Math.sqrt(expected.length));
}
