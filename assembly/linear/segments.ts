/**
 * @file Products by several matrices in one call, each with rows of its own: the experts of a mixture.
 *
 * Each segment has a parameter block of a kernel of a whole matrix; tasks of all segments follow each other, as many for each.
 */
import { IS_PRODUCT, KERNEL, PER_SEGMENT, SEGMENT_BYTES, TABLE } from "../generated/segments-params";
import { BLOCK, N } from "../generated/linear-params";
import { BF16, F16, F32, Q4, Q8 } from "../generated/weight-types";
import { linearBf16, linearF16, linearF32 } from "./dense";
import { linearQ4, linearQ8 } from "./grouped";
import { prepareBf16, prepareF16, prepareF32, prepareQ4, prepareQ8 } from "./prepare";

export function segments(task: i32, params: usize, scratch: usize): void {
  const each = load<i32>(params, PER_SEGMENT);
  const own = load<usize>(params, TABLE) + <usize>(task / each) * <usize>load<u32>(params, SEGMENT_BYTES);
  const part = task % each;
  const format = load<i32>(params, KERNEL);
  if (load<u32>(params, IS_PRODUCT) != 0) {
    if (part * load<i32>(own, BLOCK) >= load<i32>(own, N)) return;
    if (format == F32) linearF32(part, own, scratch);
    else if (format == F16) linearF16(part, own, scratch);
    else if (format == BF16) linearBf16(part, own, scratch);
    else if (format == Q8) linearQ8(part, own, scratch);
    else if (format == Q4) linearQ4(part, own, scratch);
    else unreachable();
    return;
  }
  // Of activations each segment is one task, or a few of as many rows; those beyond the last row do nothing.
  if (format == F32) prepareF32(part, own, scratch);
  else if (format == F16) prepareF16(part, own, scratch);
  else if (format == BF16) prepareBf16(part, own, scratch);
  else if (format == Q8) prepareQ8(part, own, scratch);
  else if (format == Q4) prepareQ4(part, own, scratch);
  else unreachable();
}
