/** @file Test helper: the append kernel on one page in a memory of its own, without a backend around it. */
import { ROTATIONS, SCALE_RULES } from "../../src/backends/parameters/attention.ts";
import {
  APPEND,
  APPEND_SIDE,
  appendTasks,
  K_SIDE,
  offsetOf,
  planeWords,
  putWords,
  typeCode,
  V_SIDE,
} from "../../src/backends/wasm/kv-params.ts";
import { instantiate, type Kernels } from "../../src/backends/wasm/load-kernels.ts";
import { quantizerTable } from "../../src/backends/wasm/quantizer-table.ts";
import { SCRATCH_BYTES } from "../../src/backends/wasm/sizes.ts";
import type { LayerCalibration } from "../../src/quant/calibration.ts";
import type { LayerKvFormat } from "../../src/quant/kv-format.ts";
import {
  isRotated,
  PAGE_TOKENS,
  type PageLayout,
  pageLayout,
  RESIDUAL_PAGE_TOKENS,
} from "../../src/quant/page-layout.ts";
import { createRotation, powerOfTwoBelow } from "../../src/quant/rotation.ts";
import { kindOf } from "../../src/quant/side-kind.ts";
import { prepared } from "./calibration.ts";

const PARAMS = 4096;

export interface AppendShape {
  readonly format: LayerKvFormat;
  readonly headDim: number;
  readonly numKvHeads: number;
  /** Query heads a KV head. */
  readonly group: number;
  /** At most a page. */
  readonly rows: number;
  readonly calibration: LayerCalibration | null;
}

/** Rows that come to lie at the beginning of a page, and as 16-bit copies as far as one page of those goes. No norms, no RoPE. */
export class AppendFixture {
  readonly shape: AppendShape;
  readonly layout: PageLayout;
  readonly #memory: WebAssembly.Memory;
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #scratch: number;
  readonly #qkv: number;
  readonly #query: number;
  readonly #page: number;
  readonly #residual: number;
  readonly #numTasks: number;
  #end = 65536;

  constructor(module: WebAssembly.Module, shape: AppendShape) {
    const { format, headDim, numKvHeads, group, rows, calibration } = shape;
    this.shape = shape;
    this.#memory = new WebAssembly.Memory({ initial: 320, maximum: 65536, shared: true });
    this.#view = new DataView(this.#memory.buffer);
    this.#kernels = instantiate(module, this.#memory);
    this.layout = pageLayout(format.k, format.v, headDim, numKvHeads);
    this.#scratch = this.#allocate(SCRATCH_BYTES);
    const heads = numKvHeads * group;
    this.#qkv = this.#allocate(rows * (heads + 2 * numKvHeads) * headDim * 4);
    this.#query = this.#allocate(rows * heads * headDim * 4);
    this.#page = this.#allocate(this.layout.numBytes);
    const residualBytes = numKvHeads * RESIDUAL_PAGE_TOKENS * headDim * 2;
    this.#residual = this.#allocate(2 * residualBytes);
    const slots = this.#allocate(rows * 16);
    for (let row = 0; row < rows; row++) {
      const residual = row < RESIDUAL_PAGE_TOKENS ? this.#residual : 0;
      putWords(this.#view, slots + 16 * row, [
        [0, this.#page],
        [4, row],
        [8, residual],
        [12, row],
      ]);
    }
    const rotation = format.rotation === "none" ? null : createRotation(format.rotation, headDim, format.seed);
    const data = rotation?.matrix ?? Float32Array.from(rotation?.signs.flatMap((signs) => [...signs]) ?? []);
    const angles = new Float32Array((rows * headDim) / 2);
    this.#numTasks = appendTasks(rows, numKvHeads);
    putWords(this.#view, PARAMS, [
      [APPEND.headDim, headDim],
      [APPEND.numHeads, heads],
      [APPEND.numKvHeads, numKvHeads],
      [APPEND.numRows, rows],
      [APPEND.qkv, this.#qkv],
      [APPEND.query, this.#query],
      [APPEND.cos, this.#putFloats(angles.map(() => 1))],
      [APPEND.sin, this.#putFloats(angles)],
      [APPEND.mean, calibration ? this.#putFloats(calibration.keyMean) : 0],
      [APPEND.balance, calibration ? this.#putFloats(calibration.balance) : 0],
      [APPEND.rotation, ROTATIONS[format.rotation]],
      [APPEND.rotationSize, powerOfTwoBelow(headDim)],
      [APPEND.rotationRounds, rotation?.signs.length ?? 0],
      [APPEND.rotationData, this.#putFloats(data)],
      [APPEND.slots, slots],
      [APPEND.pageTokens, PAGE_TOKENS],
      [APPEND.residualTokens, RESIDUAL_PAGE_TOKENS],
      [APPEND.residualK, 0],
      [APPEND.residualV, residualBytes],
    ]);
    this.#view.setFloat32(PARAMS + APPEND.softmaxScale, 1, true);
    this.#putSide(K_SIDE, "k");
    this.#putSide(V_SIDE, "v");
    if (this.#end > this.#memory.buffer.byteLength) throw new Error("append fixture: the memory is too small");
  }

  /** values: q | k | v of each row */
  setInputs(values: Float32Array): void {
    new Float32Array(this.#memory.buffer).set(values, this.#qkv / 4);
  }

  run(): void {
    const append = this.#kernels["appendRows"]!;
    for (let task = 0; task < this.#numTasks; task++) append(task, PARAMS, this.#scratch);
  }

  page(): Uint8Array {
    return new Uint8Array(this.#memory.buffer).slice(this.#page, this.#page + this.layout.numBytes);
  }

  /** 16-bit copies of K and V, each [numKvHeads][RESIDUAL_PAGE_TOKENS][headDim]. */
  residual(): Uint16Array {
    const { numKvHeads, headDim } = this.shape;
    return new Uint16Array(
      this.#memory.buffer,
      this.#residual,
      2 * numKvHeads * RESIDUAL_PAGE_TOKENS * headDim,
    ).slice();
  }

  /** [rows][heads][headDim] */
  queries(): Float32Array {
    const { rows, numKvHeads, group, headDim } = this.shape;
    return new Float32Array(this.#memory.buffer, this.#query, rows * numKvHeads * group * headDim).slice();
  }

  #putSide(base: number, which: "k" | "v"): void {
    const { format, headDim, calibration } = this.shape;
    const side = format[which];
    const { forward, inverse, feedback } = prepared(calibration, format, headDim).transforms[which];
    const table = kindOf(side.type) === "scalar" ? quantizerTable(headDim, side) : new Uint8Array(0);
    const address = this.#allocate(table.length);
    new Uint8Array(this.#memory.buffer).set(table, address);
    putWords(this.#view, PARAMS + base, [
      [APPEND_SIDE.type, typeCode(side)],
      ...planeWords(this.layout[which], APPEND_SIDE.planes),
      [APPEND_SIDE.scales, offsetOf(this.layout[which].scales)],
      [APPEND_SIDE.rotated, isRotated(side, format) ? 1 : 0],
      [APPEND_SIDE.rule, SCALE_RULES[side.scale]],
      [APPEND_SIDE.search, side.search && !side.trellis ? 1 : 0],
      [APPEND_SIDE.quantizer, address],
      [APPEND_SIDE.forward, forward ? this.#putFloats(forward) : 0],
      [APPEND_SIDE.queryMatrix, which === "k" && inverse ? this.#putFloats(inverse) : 0],
      [APPEND_SIDE.feedback, feedback ? this.#putFloats(feedback) : 0],
    ]);
  }

  #putFloats(data: Float32Array): number {
    const address = this.#allocate(data.byteLength);
    if (address + data.byteLength > this.#memory.buffer.byteLength) throw new Error("append fixture: out of memory");
    new Float32Array(this.#memory.buffer).set(data, address / 4);
    return address;
  }

  #allocate(numBytes: number): number {
    const address = this.#end;
    this.#end = (this.#end + numBytes + 63) & ~63;
    return address;
  }
}
