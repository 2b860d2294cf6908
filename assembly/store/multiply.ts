/**
 * @file Multiplies vectors by a matrix, with every inner product summed in the order of `dot4`.
 *
 * A single sum waits for its own result at each step, so eight sums are computed at once: eight rows of the matrix for one
 * vector, or four rows for two. Vectors of one matrix should be passed in one call, because a matrix is larger than the nearest
 * cache.
 */

/**
 * The inner product `dot4` of docs/formats/kv-page.md: four accumulators, joined as (s0 + s1) + (s2 + s3).
 * a, b: f32 [n] · n: multiple of 4
 */
// @ts-ignore: decorator
@inline export function dot4(a: usize, b: usize, n: usize): f32 {
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < n * 4; i += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  return sumLanes(sum);
}

/** The last step of `dot4`: (s0 + s1) + (s2 + s3). */
// @ts-ignore: decorator
@inline export function sumLanes(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** The last steps of four `dot4`, with the same order of additions. */
// @ts-ignore: decorator
@inline function sumLanes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 2, 4, 6), v128.shuffle<u32>(a, b, 1, 3, 5, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 2, 4, 6), v128.shuffle<u32>(c, d, 1, 3, 5, 7));
  return f32x4.add(v128.shuffle<u32>(ab, cd, 0, 2, 4, 6), v128.shuffle<u32>(ab, cd, 1, 3, 5, 7));
}

// @ts-ignore: decorator
@inline function addProduct(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

/**
 * Computes out = matrix · x for each of n vectors. matrix: f32 [d][d] · x, out: n vectors of f32 [d], `stride` bytes apart, which
 * must not overlap · d: multiple of 8
 */
export function multiplyMatrix(matrix: usize, x: usize, n: usize, stride: usize, d: usize, out: usize): void {
  const end = x + (n >> 1) * 2 * stride;
  if (n > 1) for (let i: usize = 0; i < d; i += 4) {
    let to = out + i * 4;
    for (let v = x; v < end; v += 2 * stride) {
      fourRowsTwice(matrix + i * d * 4, v, stride, d, to);
      to += 2 * stride;
    }
  }
  if (n & 1) for (let i: usize = 0; i < d; i += 8) eightRows(matrix + i * d * 4, end, d, out + (n - 1) * stride + i * 4);
}

// @ts-ignore: decorator
@inline function fourRowsTwice(matrix: usize, x: usize, stride: usize, d: usize, out: usize): void {
  const row = d * 4, end = x + row;
  let m0 = matrix, m1 = m0 + row, m2 = m1 + row, m3 = m2 + row;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (let v = x; v < end; v += 16) {
    const a = v128.load(v), b = v128.load(v + stride);
    let m = v128.load(m0);
    a0 = addProduct(a0, m, a);
    b0 = addProduct(b0, m, b);
    m = v128.load(m1);
    a1 = addProduct(a1, m, a);
    b1 = addProduct(b1, m, b);
    m = v128.load(m2);
    a2 = addProduct(a2, m, a);
    b2 = addProduct(b2, m, b);
    m = v128.load(m3);
    a3 = addProduct(a3, m, a);
    b3 = addProduct(b3, m, b);
    m0 += 16;
    m1 += 16;
    m2 += 16;
    m3 += 16;
  }
  v128.store(out, sumLanes4(a0, a1, a2, a3));
  v128.store(out + stride, sumLanes4(b0, b1, b2, b3));
}

// @ts-ignore: decorator
@inline function eightRows(matrix: usize, x: usize, d: usize, out: usize): void {
  const row = d * 4, end = x + row;
  let m0 = matrix, m4 = m0 + 4 * row;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (let v = x; v < end; v += 16) {
    const a = v128.load(v);
    a0 = addProduct(a0, v128.load(m0), a);
    a1 = addProduct(a1, v128.load(m0 + row), a);
    a2 = addProduct(a2, v128.load(m0 + 2 * row), a);
    a3 = addProduct(a3, v128.load(m0 + 3 * row), a);
    b0 = addProduct(b0, v128.load(m4), a);
    b1 = addProduct(b1, v128.load(m4 + row), a);
    b2 = addProduct(b2, v128.load(m4 + 2 * row), a);
    b3 = addProduct(b3, v128.load(m4 + 3 * row), a);
    m0 += 16;
    m4 += 16;
  }
  v128.store(out, sumLanes4(a0, a1, a2, a3));
  v128.store(out, sumLanes4(b0, b1, b2, b3), 16);
}
