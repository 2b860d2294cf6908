/** @file Rows of a weight matrix, by token, as f32. Layouts: linear/types.ts and linear/grouped.ts. */
import { ADD, COLS, OUT, SCALE, STRIDE, TABLE, TOKENS, TYPE } from "../generated/embed-params";
import { F32, Q4, Q8, VECTOR } from "../generated/weight-types";
import { loadAs } from "../linear/source-groups";
import { groupRecord } from "../linear/grouped";
import { RECORD } from "../linear/types";
import { loadHalf } from "../simd/vector";

export function embed(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, COLS);
  const out = <usize>load<u32>(params, OUT) + (<usize>task * <usize>cols << 2);
  if (load<u32>(params, ADD)) {
    embedRow(task, params, scratch);
    for (let at: usize = 0; at < <usize>cols << 2; at += 4) store<f32>(out + at, load<f32>(out + at) + load<f32>(scratch + at));
    return;
  }
  embedRow(task, params, out);
  const scale = load<f32>(params, SCALE);
  if (scale == 1) return;
  for (let i = 0; i < cols; i++) store<f32>(out + (<usize>i << 2), load<f32>(out + (<usize>i << 2)) * scale);
}

function embedRow(task: i32, params: usize, out: usize): void {
  const token = load<i32>(load<usize>(params, TOKENS) + (<usize>task << 2));
  readRow(load<i32>(params, TYPE), load<i32>(params, COLS), load<i32>(params, STRIDE), load<usize>(params, TABLE), token, out);
}

/** Writes row `token` of a matrix as f32. type: of its weights, or VECTOR · rowCols: columns from a row to the next · out: f32 [cols] */
export function readRow(type: i32, cols: i32, rowCols: i32, table: usize, token: i32, out: usize): void {
  const stride = <usize>rowCols;
  if (type == VECTOR) {
    memory.copy(out, table + (<usize>token * <usize>cols << 2), <usize>cols << 2);
    return;
  }
  if (type == Q8) {
    const panel = table + <usize>(token >> 2) * (stride >> 5) * groupRecord<i8>();
    const lane = <usize>(token & 3);
    for (let i = 0; i < cols; i++) {
      const record = panel + <usize>(i >> 5) * groupRecord<i8>();
      const code = load<i8>(record + 16 + (lane << 5) + <usize>(i & 31));
      store<f32>(out + (<usize>i << 2), <f32>code * load<f32>(record + (lane << 2)));
    }
    return;
  }
  if (type == Q4) {
    const panel = table + <usize>(token >> 2) * (stride >> 5) * groupRecord<u8>();
    const lane = <usize>(token & 3);
    for (let i = 0; i < cols; i++) {
      const record = panel + <usize>(i >> 5) * groupRecord<u8>();
      const pair = <i32>load<u8>(record + 16 + (lane << 4) + <usize>(i & 15));
      const code = (i & 16 ? pair >> 4 : pair) & 15;
      const scale = loadHalf(record + (lane << 1));
      store<f32>(out + (<usize>i << 2), <f32>code * scale + loadHalf(record + 8 + (lane << 1)));
    }
    return;
  }
  const recordCols = type == F32 ? 4 : 8;
  const panel = <usize>(token >> 2) * stride * (type == F32 ? 16 : 8);
  let from = table + panel + (<usize>(token & 3) << 4);
  for (let i = 0; i < cols; i += recordCols) {
    const count = min(recordCols, cols - i);
    for (let c = 0; c < count; c++) store<f32>(out + (<usize>(i + c) << 2), loadAs(type, from, c));
    from += RECORD;
  }
}
