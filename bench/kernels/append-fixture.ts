/** @file The append kernel on one page in a memory of its own, without a backend around it. */
import {
  append,
  type appendSide,
  ROTATIONS,
  SCALE_RULES,
  SCRATCH_BYTES,
  slot,
} from "../../src/backends/parameters/attention.ts";
import type { ValuesOf } from "../../src/backends/parameters/struct.ts";
import { wasmCodecs } from "../../src/backends/wasm/codecs/registry.ts";
import { appendTasks, offsetOf, planeOffset } from "../../src/backends/wasm/kv-params.ts";
import { instantiate, type Kernels } from "../../src/backends/wasm/load-kernels.ts";
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
import { prepared } from "../../test/support/calibration.ts";

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
    const slots = this.#allocate(rows * slot.numBytes);
    for (let row = 0; row < rows; row++) {
      const residual = row < RESIDUAL_PAGE_TOKENS ? this.#residual : 0;
      slot.write(this.#view, slots + slot.numBytes * row, {
        main: this.#page,
        mainRow: row,
        residual,
        residualRow: row,
      });
    }
    const angles = new Float32Array((rows * headDim) / 2);
    this.#numTasks = appendTasks(rows, numKvHeads);
    append.write(this.#view, PARAMS, {
      numHeads: heads,
      numKvHeads,
      qkv: this.#qkv,
      query: this.#query,
      qNorm: 0,
      kNorm: 0,
      vNorm: 0,
      normsTurned: 0,
      isShared: 0,
      eps: 0,
      cos: this.#putFloats(angles.map(() => 1)),
      sin: this.#putFloats(angles),
      queryGrowth: 0,
      mean: calibration ? this.#putFloats(calibration.keyMean) : 0,
      balance: calibration ? this.#putFloats(calibration.balance) : 0,
      softmaxScale: 1,
      slots,
      pageTokens: PAGE_TOKENS,
      residualTokens: RESIDUAL_PAGE_TOKENS,
      residualK: 0,
      residualV: residualBytes,
      numRows: rows,
      rotaryDim: 0,
      rotaryType: 0,
      rotaryPlane: 0,
      residualRotary: 0,
      kWindow: 0,
      vWindow: 0,
      isAlone: 0,
      numPassed: 0,
      kSide: this.#side("k"),
      vSide: this.#side("v"),
    });
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

  #side(which: "k" | "v"): ValuesOf<typeof appendSide> {
    const { format, headDim, calibration } = this.shape;
    const side = format[which];
    const codec = wasmCodecs.of(side);
    const scale = codec.scaleOf?.(side);
    const layout = this.layout[which];
    const { forward, inverse, feedback } = prepared(calibration, format, headDim).transforms[which];
    const rotation = format.rotation === "none" ? null : createRotation(format.rotation, headDim, format.seed);
    const data = rotation?.matrix ?? Float32Array.from(rotation?.signs.flatMap((signs) => [...signs]) ?? []);
    const table = codec.book?.(side, headDim).quantizer() ?? new Uint8Array(0);
    const quantizer = this.#allocate(table.length);
    new Uint8Array(this.#memory.buffer).set(table, quantizer);
    return {
      type: codec.typeCode(side),
      plane0: planeOffset(layout, 0),
      plane1: planeOffset(layout, 1),
      plane2: planeOffset(layout, 2),
      scales: offsetOf(layout.scales[0]),
      rotated: isRotated(side, format) ? 1 : 0,
      rule: SCALE_RULES[scale?.rule ?? "norm"],
      search: scale?.search ? 1 : 0,
      quantizer,
      sketchSigns: 0,
      sketchNorms: 0,
      sketchMatrix: 0,
      sketchRows: 0,
      forward: forward ? this.#putFloats(forward) : 0,
      queryMatrix: which === "k" && inverse ? this.#putFloats(inverse) : 0,
      feedback: feedback ? this.#putFloats(feedback) : 0,
      dim: headDim,
      rotation: ROTATIONS[format.rotation],
      rotationSize: powerOfTwoBelow(headDim),
      rotationRounds: rotation?.signs.length ?? 0,
      rotationData: this.#putFloats(data),
      centroids: 0,
    };
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
