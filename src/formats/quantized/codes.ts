/** @file Integer codes packed without gaps, the first in the lowest bits; with 3, 5 or 6 bits a code may go on in the next word. */

/** Words that `count` codes take. */
export const packedWords = (count: number, bits: number): number => Math.ceil((count * bits) / 32);

/** Code number `i` of a line of words. first: index of the line's first word · step: words from one of its words to the next */
export function codeAt(words: Uint32Array, first: number, step: number, bits: number, i: number): number {
  const bit = i * bits;
  const at = first + (bit >>> 5) * step;
  const shift = bit & 31;
  const low = words[at]! >>> shift;
  const code = shift + bits > 32 ? low | (words[at + step]! << (32 - shift)) : low;
  return code & (2 ** bits - 1);
}
