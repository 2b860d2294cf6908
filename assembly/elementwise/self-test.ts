/** @file Executes the instructions that only the relaxed module uses, so that they can be compared with the strict module. */
import { lookup, madd } from "../simd/vector";

/** params: 16 table bytes, 16 indices below 16, f32 a[4], b[4], c[4] · results after them: 16 looked-up bytes, f32 a·b + c [4] */
export function selfTest(task: i32, params: usize, scratch: usize): void {
  v128.store(params, lookup(v128.load(params), v128.load(params, 16)), 80);
  v128.store(params, madd(v128.load(params, 32), v128.load(params, 48), v128.load(params, 64)), 96);
}
