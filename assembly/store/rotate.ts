/** @file The rotation and its inverse, in the operation order of docs/formats/kv-page.md. */
import { HEAD_DIM, ROTATION, ROTATION_DATA, ROTATION_ROUNDS, ROTATION_SIZE, S_TILE } from "../attend/params";

/** Walsh–Hadamard butterflies of strides 1, 2, 4 … on n f32 at x. n: power of two ≥ 8 */
function butterflies(x: usize, n: usize): void {
  const end = x + n * 4;
  // b·(−1) + a is a − b to the last bit.
  for (let i = x; i < end; i += 16) {
    let v = v128.load(i);
    v = f32x4.add(v128.shuffle<u32>(v, v, 0, 0, 2, 2), f32x4.mul(v128.shuffle<u32>(v, v, 1, 1, 3, 3), f32x4(1, -1, 1, -1)));
    v = f32x4.add(v128.shuffle<u32>(v, v, 0, 1, 0, 1), f32x4.mul(v128.shuffle<u32>(v, v, 2, 3, 2, 3), f32x4(1, 1, -1, -1)));
    v128.store(i, v);
  }
  for (let stride: usize = 16; stride < n * 4; stride <<= 1) {
    for (let block = x; block < end; block += 2 * stride) {
      for (let i = block; i < block + stride; i += 16) {
        const a = v128.load(i), b = v128.load(i + stride);
        v128.store(i, f32x4.add(a, b));
        v128.store(i + stride, f32x4.sub(a, b));
      }
    }
  }
}

// @ts-ignore: decorator
@inline function scaleBy(x: usize, n: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < n * 4; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), f));
}

// @ts-ignore: decorator
@inline function flipSigns(x: usize, signs: usize, n: usize): void {
  for (let i: usize = 0; i < n * 4; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), v128.load(signs + i)));
}

/** dot4 of the documents: four accumulators, (s0 + s1) + (s2 + s3). */
// @ts-ignore: decorator
@inline export function dot4(a: usize, b: usize, n: usize): f32 {
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < n * 4; i += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  return (f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1)) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3));
}

/** x = matrix · x through `scratch` (d f32). */
export function multiplyMatrix(matrix: usize, x: usize, d: usize, scratch: usize): void {
  for (let i: usize = 0; i < d; i++) store<f32>(scratch + i * 4, dot4(matrix + i * d * 4, x, d));
  memory.copy(x, scratch, d * 4);
}

/** Hadamard rounds on x: the first on the first `size` coordinates, the second on the last. */
export function hadamard(x: usize, d: usize, size: usize, rounds: usize, signs: usize): void {
  const norm = <f32>(1.0 / Math.sqrt(<f64>size));
  for (let round: usize = 0; round < rounds; round++) {
    const at = round == 0 ? x : x + (d - size) * 4;
    flipSigns(at, signs + round * size * 4, size);
    butterflies(at, size);
    scaleBy(at, size, norm);
  }
}

/** Inverse of `hadamard`. */
export function inverseHadamard(x: usize, d: usize, size: usize, rounds: usize, signs: usize): void {
  const norm = <f32>(1.0 / Math.sqrt(<f64>size));
  for (let round = rounds; round > 0; round--) {
    const at = round == 1 ? x : x + (d - size) * 4;
    butterflies(at, size);
    scaleBy(at, size, norm);
    flipSigns(at, signs + (round - 1) * size * 4, size);
  }
}

/** Undoes V's rotation on an output of KV head `head`; p is an attention parameter block. */
export function unrotate(p: usize, x: usize, d: usize, head: usize, scratch: usize): void {
  const kind = load<u32>(p, ROTATION);
  if (kind == 1) inverseHadamard(x, d, load<u32>(p, ROTATION_SIZE), load<u32>(p, ROTATION_ROUNDS), load<u32>(p, ROTATION_DATA));
  else if (kind == 2) multiplyMatrix(load<u32>(p, ROTATION_DATA), x, d, scratch + S_TILE);
  else if (kind == 3) multiplyMatrix(<usize>load<u32>(p, ROTATION_DATA) + head * d * d * 4, x, d, scratch + S_TILE);
}
