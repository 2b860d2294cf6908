/** @file The append kernel against the row codec: the same bytes for every type, head_dim, rule and kind of input. */
import { beforeAll, describe, expect, it } from "vitest";
import { CounterRng } from "../../math/rng.ts";
import type { KvType, LayerKvFormat, ScaleRule, SideFormat } from "../../quant/kv-format.ts";
import { codeBits, isRotated, PAGE_TOKENS, pageLayout } from "../../quant/page-layout.ts";
import { createRotation, powerOfTwoBelow } from "../../quant/rotation.ts";
import { RowCodec } from "../../quant/row-codec.ts";
import {
  APPEND,
  APPEND_SIDE,
  K_SIDE,
  offsetOf,
  planeWords,
  putWords,
  ROTATIONS,
  SCALE_RULES,
  typeCode,
  V_SIDE,
} from "./kv-params.ts";
import { compileKernels, instantiate } from "./load-kernels.ts";
import { buildQuantizerTable } from "./quantizer-table.ts";
import { SCRATCH_BYTES } from "./thread-pool.ts";

const HEADS = 2;
const ROWS = PAGE_TOKENS;
const PARAMS = 4096;

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await compileKernels("strict", true);
});

/** Rows of K and V as the two sides of one page, by the kernel. values: [row][side][head][headDim] */
function appendByKernel(format: LayerKvFormat, headDim: number, values: Float32Array): Uint8Array {
  const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
  const [view, f32, u8] = [new DataView(memory.buffer), new Float32Array(memory.buffer), new Uint8Array(memory.buffer)];
  const layout = pageLayout(format.k, format.v, headDim, HEADS);
  let end = 65536;
  const allocate = (numBytes: number): number => {
    const address = end;
    end = (end + numBytes + 63) & ~63;
    return address;
  };
  const putFloats = (data: Float32Array): number => {
    const address = allocate(data.byteLength);
    f32.set(data, address / 4);
    return address;
  };
  const scratch = allocate(SCRATCH_BYTES);
  // q | k | v of each row, without queries that matter.
  const width = 3 * HEADS * headDim;
  const qkv = allocate(ROWS * width * 4);
  for (let row = 0; row < ROWS; row++) {
    f32.set(
      values.subarray(row * 2 * HEADS * headDim, (row + 1) * 2 * HEADS * headDim),
      qkv / 4 + row * width + HEADS * headDim,
    );
  }
  const angles = new Float32Array((ROWS * headDim) / 2);
  const page = allocate(layout.numBytes);
  const slots = allocate(ROWS * 16);
  for (let row = 0; row < ROWS; row++)
    putWords(view, slots + 16 * row, [
      [0, page],
      [4, row],
    ]);
  const rotation = format.rotation === "none" ? null : createRotation(format.rotation, headDim, format.seed);
  const data = rotation?.matrix ?? Float32Array.from(rotation?.signs.flatMap((signs) => [...signs]) ?? []);
  putWords(view, PARAMS, [
    [APPEND.headDim, headDim],
    [APPEND.numHeads, HEADS],
    [APPEND.numKvHeads, HEADS],
    [APPEND.qkv, qkv],
    [APPEND.query, allocate(ROWS * HEADS * headDim * 4)],
    [APPEND.cos, putFloats(angles.map(() => 1))],
    [APPEND.sin, putFloats(angles)],
    [APPEND.rotation, ROTATIONS[format.rotation]],
    [APPEND.rotationSize, powerOfTwoBelow(headDim)],
    [APPEND.rotationRounds, rotation?.signs.length ?? 0],
    [APPEND.rotationData, putFloats(data)],
    [APPEND.slots, slots],
    [APPEND.pageTokens, PAGE_TOKENS],
  ]);
  for (const [base, which] of [
    [K_SIDE, "k"],
    [V_SIDE, "v"],
  ] as const) {
    const side = format[which];
    const table = side.type.startsWith("tq") ? buildQuantizerTable(headDim, codeBits(side.type)) : new Uint8Array(0);
    const address = allocate(table.length);
    u8.set(table, address);
    putWords(view, PARAMS + base, [
      [APPEND_SIDE.type, typeCode(side.type)],
      ...planeWords(layout[which], APPEND_SIDE.planes),
      [APPEND_SIDE.scales, offsetOf(layout[which].scales)],
      [APPEND_SIDE.rotated, isRotated(side, format) ? 1 : 0],
      [APPEND_SIDE.rule, SCALE_RULES[side.scale]],
      [APPEND_SIDE.search, side.search ? 1 : 0],
      [APPEND_SIDE.quantizer, address],
    ]);
  }
  expect(end).toBeLessThanOrEqual(memory.buffer.byteLength);
  const { appendRows } = instantiate(module, memory);
  for (let task = 0; task < ROWS * HEADS; task++) appendRows!(task, PARAMS, scratch);
  return u8.slice(page, page + layout.numBytes);
}

function appendByCodec(format: LayerKvFormat, headDim: number, values: Float32Array): Uint8Array {
  const layout = pageLayout(format.k, format.v, headDim, HEADS);
  const page = new Uint8Array(layout.numBytes);
  for (const [offset, which] of [
    [0, "k"],
    [HEADS, "v"],
  ] as const) {
    const codec = new RowCodec(format[which], format, headDim);
    for (let row = 0; row < ROWS; row++) {
      for (let head = 0; head < HEADS; head++) {
        const at = (row * 2 * HEADS + offset + head) * headDim;
        const x = values.slice(at, at + headDim);
        codec.prepare(x);
        codec.write(x, page, layout, which, head, row);
      }
    }
  }
  return page;
}

/** Ordinary rows among the awkward: tiny, huge, constant, one spike, all zero, beyond f16; NaN and infinities in V. */
function someValues(headDim: number, seed: number): Float32Array {
  const rng = new CounterRng(seed, headDim);
  const values = Float32Array.from({ length: ROWS * 2 * HEADS * headDim }, (_, i) => rng.gaussian(i));
  for (let row = 0; row < ROWS; row++) {
    for (let part = 0; part < 2 * HEADS; part++) {
      const x = values.subarray((row * 2 * HEADS + part) * headDim, (row * 2 * HEADS + part + 1) * headDim);
      const kind = (row + 3 * part) % 16;
      if (kind === 0) x.fill(0);
      if (kind === 1) x.fill(0.25);
      if (kind === 2) for (let i = 0; i < headDim; i++) x[i] = i === row % headDim ? 60 : 0;
      if (kind === 3) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e-20;
      if (kind === 4) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e4;
      if (kind === 5) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e30;
      if (kind === 6) for (let i = 0; i < headDim; i++) x[i] = Math.sign(x[i]!);
      // RoPE would spread these over a key's pair.
      if (kind === 7 && part >= HEADS) x.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]);
    }
  }
  return values;
}

function sideOf(type: KvType, scale: ScaleRule, search: boolean): SideFormat {
  return { type, scale, search, transform: false, feedback: false, qjl: false };
}

function expectSameBytes(format: LayerKvFormat, headDim: number, seed: number): void {
  const values = someValues(headDim, seed);
  const [actual, expected] = [appendByKernel(format, headDim, values), appendByCodec(format, headDim, values)];
  const wrong = actual.findIndex((byte, i) => byte !== expected[i]);
  expect(wrong, `${format.k.type}/${format.v.type}, head_dim ${headDim}: first byte that differs`).toBe(-1);
}

const BASE = { sinks: 0, window: 0, rotation: "hadamard", seed: 0 } as const;

describe("append kernel", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8] as const)("%d bits", (bits) => {
    const type: KvType = `tq${bits}`;
    for (const [i, headDim] of [8, 64, 72, 128, 256].entries()) {
      const k = sideOf(type, "norm-preserving", true);
      const v = sideOf(type, i % 2 ? "least-squares" : "norm", i % 2 === 0);
      expectSameBytes({ ...BASE, k, v, rotation: i === 2 ? "qr" : i === 3 ? "none" : "hadamard" }, headDim, bits);
    }
  });

  it.each<[KvType, KvType]>([
    ["f32", "f16"],
    ["q8_0", "q4_0r"],
    ["q4_0r", "q8_0"],
    ["f16", "tq4"],
  ])("%s and %s", (kType, vType) => {
    for (const headDim of [8, 40, 128]) {
      expectSameBytes(
        { ...BASE, k: sideOf(kType, "norm", false), v: sideOf(vType, "least-squares", true) },
        headDim,
        9,
      );
    }
  });
});
