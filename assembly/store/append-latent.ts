/**
 * @file Stores the latent rows of latent attention, whose codes are read both as keys and as values, with the rotary key parts beside
 * them, and prepares the queries. Both kernels have the parameters of append.ts; there is one KV head and no calibration.
 */
import { APPEND_ROWS, MAX_DIM, SCRATCH_BYTES, TYPE_F32 } from "../attend/params";
import {
  COS, DIM, K_SIDE, NUM_HEADS, NUM_ROWS, QKV, QUERY, RESIDUAL_K, RESIDUAL_ROTARY, RESIDUAL_TOKENS, ROTARY_DIM, ROTARY_PLANE, ROTARY_TYPE, SIN, SLOT_BYTES,
  SLOTS, SOFTMAX_SCALE,
} from "../generated/append-params";
import { QUANTIZE_K, rope, sanitizeTo, storeRows, turn } from "./append";
import { storeHalves } from "./pack";

const PRODUCTS: usize = APPEND_ROWS * MAX_DIM * 4;

/** Stores a block of rows. task: block · input: QKV, f32 [row][dim + ROTARY_DIM] as latent | rotary part */
export function appendLatentRows(task: i32, p: usize, scratch: usize): void {
  if (QUANTIZE_K > SCRATCH_BYTES) ERROR("append needs more scratch than SCRATCH_BYTES of src/backends/parameters/attention.ts");
  const d = <usize>load<u32>(p + K_SIDE, DIM), apart = <usize>load<u32>(p, ROTARY_DIM), width = (d + apart) * 4;
  const first = <usize>task * APPEND_ROWS, n = min<usize>(APPEND_ROWS, <usize>load<u32>(p, NUM_ROWS) - first);
  const input = <usize>load<u32>(p, QKV) + first * width;
  for (let r: usize = 0; r < n; r++) {
    memory.copy(scratch + r * d * 4, input + r * width, d * 4);
    sanitizeTo(scratch + r * d * 4, d, p + K_SIDE);
  }
  const rows = turn(p + K_SIDE, 0, scratch, n, d, scratch + PRODUCTS);
  storeRows(p, p + K_SIDE, load<u32>(p, RESIDUAL_K), rows, n, first, 0, scratch + QUANTIZE_K);
  // The latent rows are stored, so their place is free.
  for (let r: usize = 0; r < n; r++) storeRotary(p, first + r, apart, input + r * width + d * 4, scratch);
}

/** Turns the rotary part of a row, and stores it as floats in the row's page and, if it has one, in its page of 16-bit copies. */
function storeRotary(p: usize, row: usize, apart: usize, from: usize, x: usize): void {
  memory.copy(x, from, apart * 4);
  rope(x, load<u32>(p, COS) + row * apart * 2, load<u32>(p, SIN) + row * apart * 2, apart);
  sanitizeTo(x, apart, p + K_SIDE);
  const slot = <usize>load<u32>(p, SLOTS) + row * SLOT_BYTES;
  const page = <usize>load<u32>(slot) + load<u32>(p, ROTARY_PLANE), index = <usize>load<u32>(slot, 4);
  if (load<i32>(p, ROTARY_TYPE) == TYPE_F32) memory.copy(page + index * apart * 4, x, apart * 4);
  else storeHalves(x, page + index * apart * 2, apart);
  const residual = <usize>load<u32>(slot, 8);
  if (residual) storeHalves(x, residual + load<u32>(p, RESIDUAL_ROTARY) + <usize>load<u32>(slot, 12) * apart * 2, apart);
}

/**
 * Prepares the queries of one row in place: rotates the part that meets the latent as latent rows are rotated, turns the rotary part,
 * and multiplies by the softmax scale. task: row · QUERY: f32 [row][query head][dim + ROTARY_DIM]
 */
export function prepareLatentQueries(task: i32, p: usize, scratch: usize): void {
  const d = <usize>load<u32>(p + K_SIDE, DIM), apart = <usize>load<u32>(p, ROTARY_DIM), width = (d + apart) * 4;
  const heads = <usize>load<u32>(p, NUM_HEADS), row = <usize>task;
  const scale = f32x4.splat(load<f32>(p, SOFTMAX_SCALE));
  let q = <usize>load<u32>(p, QUERY) + row * heads * width;
  for (let h: usize = 0; h < heads; h++) {
    const y = turn(p + K_SIDE, 0, q, 1, d, scratch);
    rope(q + d * 4, load<u32>(p, COS) + row * apart * 2, load<u32>(p, SIN) + row * apart * 2, apart);
    for (let i: usize = 0; i < d * 4; i += 16) v128.store(q + i, f32x4.mul(v128.load(y + i), scale));
    for (let i = d * 4; i < width; i += 16) v128.store(q + i, f32x4.mul(v128.load(q + i), scale));
    q += width;
  }
}
