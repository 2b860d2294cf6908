/** @file Conversions between f32 and the 16-bit floats, in integer arithmetic. */

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** Bits of the f16 nearest to x (first rounded to f32), ties to even; overflow gives infinity, NaN stays NaN. */
export function toFloat16Bits(x: number): number {
  float[0] = x;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal result: adding 0.5 aligns the mantissa so that the f32 addition does the rounding.
    word[0] = magnitude;
    float[0] = float[0]! + 0.5;
    return sign | (word[0]! - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** Value of f16 bits. */
export function fromFloat16Bits(bits: number): number {
  const magnitude = bits & 0x7fff;
  // Read as the upper bits of an f32, the exponent is 112 too small (subnormals too). The f64 multiplication corrects it exactly.
  word[0] = magnitude << 13;
  const value = magnitude < 0x7c00 ? float[0]! * 2 ** 112 : magnitude > 0x7c00 ? Number.NaN : Number.POSITIVE_INFINITY;
  return bits & 0x8000 ? -value : value;
}

/** Value of bf16 bits, which are the upper half of an f32. */
export function fromBfloat16Bits(bits: number): number {
  word[0] = bits << 16;
  return float[0]!;
}
