/**
 * @file Stores the sketch of what quantization leaves over, its residual: the signs of the residual's projections, and its norm
 * (TurboQuant_prod, arXiv 2504.19874).
 */
import { toHalf } from "../simd/vector";
import { dot4 } from "./multiply";
import { SKETCH_MATRIX, SKETCH_NORMS, SKETCH_ROWS, SKETCH_SIGNS } from "../generated/append-params";
import { S_INPUT, S_NORM, S_SIGNED } from "./quantize";

/**
 * Writes the sketch of row 0 to a page, after `choose`; it overwrites the signed centroids in the quantizer's scratch memory s.
 * Projections are 1 bit each, least significant first, and the norm is f16.
 * index: the row's place in a region of the page, KV head · tokens of a page + token
 */
export function storeSketch(d: usize, side: usize, page: usize, index: usize, s: usize): void {
  const r = s + S_SIGNED;
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(r + i, f32x4.sub(v128.load(s + i, S_INPUT), v128.load(r + i)));
  const matrix = <usize>load<u32>(side, SKETCH_MATRIX);
  const rowBytes = <usize>load<u32>(side, SKETCH_ROWS) >> 3;
  const signs = page + load<u32>(side, SKETCH_SIGNS) + index * rowBytes;
  let row = matrix;
  for (let byte: usize = 0; byte < rowBytes; byte++) {
    let bits: u32 = 0;
    for (let bit: u32 = 0; bit < 8; bit++) {
      if (dot4(row, r, d) >= 0) bits |= 1 << bit;
      row += d * 4;
    }
    store<u8>(signs + byte, <u8>bits);
  }
  const length = sqrt<f32>(dot4(r, r, d)) / <f32>Math.sqrt(<f64>d);
  const norm = load<f32>(s, S_NORM);
  store<u16>(page + load<u32>(side, SKETCH_NORMS) + index * 2, <u16>toHalf(min<f32>(65504, norm * length)));
}
