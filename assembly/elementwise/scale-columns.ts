/** @file Columns of rows times factors, one for each run of columns. */
import { BLOCK, ENDS, FACTORS, ROWS, RUNS, WIDTH, X } from "../generated/scale-columns-params";

export function scaleColumns(task: i32, params: usize, scratch: usize): void {
  const width = load<i32>(params, WIDTH), runs = load<i32>(params, RUNS);
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  for (let r = task * block; r < end; r++) {
    const x = <usize>load<u32>(params, X) + (<usize>(r * width) << 2);
    let i = 0;
    for (let n = 0; n < runs; n++) {
      const last = load<i32>(params + (<usize>n << 2), ENDS), factor = load<f32>(params + (<usize>n << 2), FACTORS);
      for (const factors = f32x4.splat(factor); i + 4 <= last; i += 4) {
        const at = x + (<usize>i << 2);
        v128.store(at, f32x4.mul(v128.load(at), factors));
      }
      for (; i < last; i++) {
        const at = x + (<usize>i << 2);
        store<f32>(at, load<f32>(at) * factor);
      }
    }
  }
}
