/** @file Packs codes into bit planes of 8, 4, 2 and 1 bits, least significant bit first within a plane (docs/formats/kv-page.md). */

/** Widths of the bit planes of a code with `bits` bits, most significant first. */
export function planeWidths(bits: number): number[] {
  return [8, 4, 2, 1].filter((w) => bits & w);
}

/** Packs n values of `width` bits (1, 2, 4 or 8), taken from bits [shift, shift + width) of each code. n: multiple of 8 */
export function packPlane(
  codes: Uint8Array,
  n: number,
  width: number,
  shift: number,
  out: Uint8Array,
  at: number,
): void {
  const perByte = 8 / width;
  const mask = (1 << width) - 1;
  for (let i = 0, byte = at; i < n; i += perByte, byte++) {
    let value = 0;
    for (let k = 0; k < perByte; k++) value |= ((codes[i + k]! >>> shift) & mask) << (k * width);
    out[byte] = value;
  }
}

/** Unpacks a plane and adds its values to `codes`, shifted to their place. */
export function unpackPlane(
  bytes: Uint8Array,
  at: number,
  n: number,
  width: number,
  shift: number,
  codes: Uint8Array,
): void {
  const perByte = 8 / width;
  const mask = (1 << width) - 1;
  for (let i = 0, byte = at; i < n; i += perByte, byte++) {
    const value = bytes[byte]!;
    for (let k = 0; k < perByte; k++) codes[i + k] = codes[i + k]! | (((value >>> (k * width)) & mask) << shift);
  }
}

/** Width of each plane and position of its bits in a code; the widest plane holds the most significant bits. */
export function planeShifts(bits: number): { width: number; shift: number }[] {
  let shift = bits;
  return planeWidths(bits).map((width) => ({ width, shift: (shift -= width) }));
}

/** Packs all planes of a vector, one after the other, into `bits · n / 8` bytes. */
export function packCodes(codes: Uint8Array, bits: number): Uint8Array {
  const out = new Uint8Array((codes.length * bits) / 8);
  let at = 0;
  for (const { width, shift } of planeShifts(bits)) {
    packPlane(codes, codes.length, width, shift, out, at);
    at += (codes.length * width) / 8;
  }
  return out;
}

/** Inverse of `packCodes`. n: number of codes, a multiple of 8 */
export function unpackCodes(bytes: Uint8Array, bits: number, n: number): Uint8Array {
  const codes = new Uint8Array(n);
  let at = 0;
  for (const { width, shift } of planeShifts(bits)) {
    unpackPlane(bytes, at, n, width, shift, codes);
    at += (n * width) / 8;
  }
  return codes;
}
