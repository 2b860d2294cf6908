/** @file Turns stored blocks of 32 into blocks of q8 or q4 that have the same codes and the same scale, so that nothing is rounded. */
import { GROUP } from "../../groups.ts";
import type { KeptAs } from "../../weight-format.ts";

/**
 * The conversion of blocks of 32 to q8. blocks: how many blocks of 32 one stored block has
 *
 * codesOf: of the stored block at bytes[at], writes the integers of the n-th 32 values, −127 to 127, to codes[to] and on, and returns
 * the scale that multiplies them
 */
export function intoQ8(
  blockBytes: number,
  blocks: number,
  codesOf: (bytes: Uint8Array, at: number, n: number, codes: Int8Array, to: number) => number,
): KeptAs {
  const words = 1 + GROUP / 4;
  return {
    type: "q8",
    convert(stored) {
      const out = new Uint8Array((stored.length / blockBytes) * blocks * words * 4);
      const scales = new Float32Array(out.buffer);
      const codes = new Int8Array(out.buffer);
      for (let at = 0, to = 0; at < stored.length; at += blockBytes) {
        for (let n = 0; n < blocks; n++, to += words) scales[to] = codesOf(stored, at, n, codes, to * 4 + 4);
      }
      return out;
    },
  };
}

/**
 * The conversion of blocks of 32 with four-bit codes to q4, whose nibbles have the same order as ggml's. blocks: how many blocks of 32
 * one stored block has
 *
 * place: of the stored block at bytes[at], writes the n-th block of q4 to out[to] and on: scale and minimum as f16 bits, and nibbles
 */
export function intoQ4(
  blockBytes: number,
  blocks: number,
  place: (bytes: Uint8Array, at: number, n: number, out: Uint8Array, to: number) => void,
): KeptAs {
  const size = 4 + GROUP / 2;
  return {
    type: "q4",
    convert(stored) {
      const out = new Uint8Array((stored.length / blockBytes) * blocks * size);
      for (let at = 0, to = 0; at < stored.length; at += blockBytes) {
        for (let n = 0; n < blocks; n++, to += size) place(stored, at, n, out, to);
      }
      return out;
    },
  };
}

/** Scale and minimum of a block of q4, as f16 bits. */
export function putHalves(out: Uint8Array, to: number, scale: number, minimum: number): void {
  out[to] = scale;
  out[to + 1] = scale >> 8;
  out[to + 2] = minimum;
  out[to + 3] = minimum >> 8;
}
