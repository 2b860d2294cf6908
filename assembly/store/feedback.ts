/** @file Error feedback of one row: codes one coordinate after the other, and the scale in its metric. */
import { dot4 } from "./multiply";
import { Q_BINS, Q_LAST_BIN, Q_RATE, QUANTIZER, RULE } from "./params";
import { MAX_SCALE, ROUND, ROUND_BITS, S_ABS, S_CODES, S_FACTOR, S_FEEDBACK, S_INPUT, S_INVERSE, S_NORM, S_SCALE, S_SIGNED } from "./quantize";

const S_PRODUCT: usize = S_FEEDBACK; // f32 [256 + 16] Uᵀu
const S_WEIGHTED: usize = S_FEEDBACK + 1088; // f32 [256 + 16]

/**
 * The other half of a quantization, of row 0, after `searchFactor`: codes to s + S_CODES, the scale to s + S_SCALE.
 * columns: of the head's factor, then its weights
 */
export function feedBack(d: usize, bits: i32, side: usize, columns: usize, s: usize): void {
  const norm = load<f32>(s, S_NORM), inverse = load<f32>(s, S_INVERSE), rule = load<u32>(side, RULE);
  roundInTurn(s, d, load<f32>(s, S_FACTOR), inverse, 1 << (bits - 1), load<u32>(side, QUANTIZER), columns);
  const own = rule == 0 ? norm : metricScale(s, d, rule == 2, norm * inverse, inverse, columns + d * d * 4);
  store<f32>(s, max<f32>(-MAX_SCALE, min<f32>(MAX_SCALE, own)), S_SCALE);
}

/**
 * Codes and signed centroids one coordinate after the other; the error of each moves the targets of those after it.
 * A column is zero up to its own coordinate, so whole vectors may be updated from there on.
 */
function roundInTurn(s: usize, d: usize, alpha: f32, inverse: f32, half: i32, table: usize, columns: usize): void {
  const rate = load<f32>(table, Q_RATE), last = load<f32>(table, Q_LAST_BIN);
  memory.copy(s + S_ABS, s + S_INPUT, d * 4);
  memory.copy(s + S_PRODUCT, s + S_INPUT, d * 4);
  for (let j: usize = 0; j < d; j++) {
    const x = load<f32>(s + j * 4, S_ABS) * alpha;
    const negative = !(x > 0);
    const t = reinterpret<f32>(reinterpret<i32>(abs<f32>(x)) + i32(negative));
    const at = table + Q_BINS + (<usize>(reinterpret<i32>(min<f32>(last, t * rate) + ROUND) - ROUND_BITS) << 4);
    const isAbove = t > load<f32>(at);
    const c = isAbove ? load<f32>(at, 8) : load<f32>(at, 4);
    const signed = negative ? -c : c;
    const index = load<i32>(at, 12) + i32(isAbove);
    store<u8>(s + j, negative ? half - 1 - index : half + index, S_CODES);
    store<f32>(s + j * 4, signed, S_SIGNED);
    const u = load<f32>(s + j * 4, S_INPUT);
    const error = f32x4.splat(signed * inverse - u), input = f32x4.splat(u);
    const column = columns + j * d * 4;
    for (let i = ((j + 1) * 4) & ~15; i < d * 4; i += 16) {
      const factor = v128.load(column + i);
      v128.store(s + i, f32x4.sub(v128.load(s + i, S_ABS), f32x4.mul(error, factor)), S_ABS);
      v128.store(s + i, f32x4.add(v128.load(s + i, S_PRODUCT), f32x4.mul(input, factor)), S_PRODUCT);
    }
  }
}

/** Scale in the metric of the feedback: see src/quant/vector-quantizer.ts. */
function metricScale(s: usize, d: usize, isLeastSquares: bool, scaled: f32, inverse: f32, weights: usize): f32 {
  const f = f32x4.splat(inverse);
  const p = s + S_PRODUCT, w = s + S_ABS, weighted = s + S_WEIGHTED;
  for (let i: usize = 0; i < d * 4; i += 16) {
    const own = f32x4.add(f32x4.sub(f32x4.mul(v128.load(s + i, S_SIGNED), f), v128.load(w + i)), v128.load(p + i));
    v128.store(w + i, own);
    v128.store(weighted + i, f32x4.mul(v128.load(weights + i), own));
  }
  const square = dot4(weighted, w, d);
  if (isLeastSquares) return (scaled * dot4(weighted, p, d)) / square;
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(weighted + i, f32x4.mul(v128.load(weights + i), v128.load(p + i)));
  return scaled * sqrt<f32>(dot4(weighted, p, d) / square);
}
