/** @file Replaces values that a format cannot store, before anything else is computed (docs/formats/kv-page.md, step 1). */

/** The largest finite f16. */
export const MAX_FLOAT16 = 65504;

export const clampToFloat16 = (x: number): number => Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, x));

/** The largest finite f32. */
export const MAX_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** NaN becomes 0, everything else is clamped to ±most. In place. */
export function sanitize(x: Float32Array, most: number = MAX_FLOAT16): void {
  for (let i = 0; i < x.length; i++) {
    const value = x[i]!;
    if (!(Math.abs(value) <= most)) x[i] = Number.isNaN(value) ? 0 : Math.sign(value) * most;
  }
}
