/** @file Parts of rows that get another width. */
import { BLOCK, COUNT, OUT, OUT_STRIDE, OUT_WIDTH, ROWS, STRIDE, WIDTH, X } from "../generated/resize-parts-params";

/** See `Ops.resizeParts`. */
export function resizeParts(task: i32, params: usize, scratch: usize): void {
  const bytes = <usize>load<u32>(params, WIDTH) << 2, outBytes = <usize>load<u32>(params, OUT_WIDTH) << 2;
  const kept = min(bytes, outBytes), count = load<i32>(params, COUNT);
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  for (let r = task * block; r < end; r++) {
    let x = <usize>load<u32>(params, X) + (<usize>r * <usize>load<u32>(params, STRIDE) << 2);
    let out = <usize>load<u32>(params, OUT) + (<usize>r * <usize>load<u32>(params, OUT_STRIDE) << 2);
    for (let n = 0; n < count; n++) {
      memory.copy(out, x, kept);
      memory.fill(out + kept, 0, outBytes - kept);
      x += bytes;
      out += outBytes;
    }
  }
}
