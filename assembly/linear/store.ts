/** @file The end of every dot product: bias, accumulation, store. All paths add in the same order. */

/** out[i] (+)= value (+ bias[i]) at byte offset `at` of out and `biasAt` of bias. */
// @ts-ignore: decorator
@inline export function storeOne(out: usize, value: f32, bias: usize, add: bool): void {
  let v = value;
  if (bias != 0) v += load<f32>(bias);
  if (add) v += load<f32>(out);
  store<f32>(out, v);
}

/** Stores the first `count` (1–4) lanes to consecutive outputs. */
// @ts-ignore: decorator
@inline export function storeFour(out: usize, value: v128, bias: usize, add: bool, count: i32): void {
  if (count >= 4) {
    let v = value;
    if (bias != 0) v = f32x4.add(v, v128.load(bias));
    if (add) v = f32x4.add(v, v128.load(out));
    v128.store(out, v);
    return;
  }
  storeOne(out, f32x4.extract_lane(value, 0), bias, add);
  if (count > 1) storeOne(out + 4, f32x4.extract_lane(value, 1), bias != 0 ? bias + 4 : 0, add);
  if (count > 2) storeOne(out + 8, f32x4.extract_lane(value, 2), bias != 0 ? bias + 8 : 0, add);
}
