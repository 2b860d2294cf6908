/** @file What no stored format can hold is replaced before anything else happens (docs/formats/kv-page.md, step 1). */

/** Largest finite f16. */
export const MAX_FLOAT16 = 65504;

export const clampToFloat16 = (x: number): number => Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, x));

/** NaN becomes 0, everything else is clamped to what f16 holds. In place. */
export function sanitize(x: Float32Array): void {
  for (let i = 0; i < x.length; i++) {
    const value = x[i]!;
    if (!(Math.abs(value) <= MAX_FLOAT16)) x[i] = Number.isNaN(value) ? 0 : Math.sign(value) * MAX_FLOAT16;
  }
}
