/** @file Rotates vectors, and undoes the rotation of V, with the order of operations of docs/formats/kv-page.md. */
import { ROTATION, ROTATION_DATA, ROTATION_HADAMARD, ROTATION_HEAD_MATRICES, ROTATION_ROUNDS, ROTATION_SIZE } from "../attend/params";
import { multiplyMatrix } from "./multiply";

/** Walsh–Hadamard butterflies with strides 1, 2, 4 … in place. x: f32 [n] · n: power of two ≥ 8 */
function butterflies(x: usize, n: usize): void {
  const end = x + n * 4;
  // Within a vector a − b is computed as a + b · (−1), which is exactly equal.
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

/**
 * Rotates a vector in place. If headDim is not a power of two there are two rounds, on the first and on the last `size`
 * coordinates. x: f32 [d] · size: the largest power of two ≤ d · rounds: 1 or 2 · signs: f32 [rounds][size] of ±1
 */
export function hadamard(x: usize, d: usize, size: usize, rounds: usize, signs: usize): void {
  const norm = <f32>(1.0 / Math.sqrt(<f64>size));
  for (let round: usize = 0; round < rounds; round++) {
    const at = round == 0 ? x : x + (d - size) * 4;
    flipSigns(at, signs + round * size * 4, size);
    butterflies(at, size);
    scaleBy(at, size, norm);
  }
}

/** Undoes `hadamard` in place, with the same parameters. */
export function inverseHadamard(x: usize, d: usize, size: usize, rounds: usize, signs: usize): void {
  const norm = <f32>(1.0 / Math.sqrt(<f64>size));
  for (let round = rounds; round > 0; round--) {
    const at = round == 1 ? x : x + (d - size) * 4;
    butterflies(at, size);
    scaleBy(at, size, norm);
    flipSigns(at, signs + (round - 1) * size * 4, size);
  }
}

/**
 * Undoes V's rotation on n attention outputs of one KV head. p: attention parameters · x: n vectors of f32 [d], `stride` bytes
 * apart · head: KV head · room: memory for as many vectors · returns: where the results are, x or room
 */
export function unrotate(p: usize, x: usize, n: usize, stride: usize, d: usize, head: usize, room: usize): usize {
  const kind = load<u32>(p, ROTATION);
  if (kind == ROTATION_HADAMARD) {
    const size = load<u32>(p, ROTATION_SIZE), rounds = load<u32>(p, ROTATION_ROUNDS), signs = load<u32>(p, ROTATION_DATA);
    for (let i: usize = 0; i < n; i++) inverseHadamard(x + i * stride, d, size, rounds, signs);
  }
  if (kind < 2) return x;
  multiplyMatrix(<usize>load<u32>(p, ROTATION_DATA) + (kind == ROTATION_HEAD_MATRICES ? head * d * d * 4 : 0), x, n, stride, d, room);
  return room;
}
