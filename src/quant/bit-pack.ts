/** @file Codes in planes of 8, 4, 2 and 1 bits, least significant bit first inside a plane (docs/formats/kv-page.md). */

/** Widths of the planes of a `bits`-wide code, most significant first. */
export function planeWidths(bits: number): number[] {
  return [8, 4, 2, 1].filter((w) => bits & w);
}

/** Writes n values of `width` bits (1, 2, 4 or 8), taken from bits [shift, shift+width) of each code. n: multiple of 8 */
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

/** Adds the plane's values into `codes`, shifted to where they belong. */
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

/** Position of each plane's bits in a code: the widest plane takes the most significant ones. */
export function planeShifts(bits: number): { width: number; shift: number }[] {
  let shift = bits;
  return planeWidths(bits).map((width) => ({ width, shift: (shift -= width) }));
}

/** Packs a whole vector: its planes one after the other, `bits · n / 8` bytes. */
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
