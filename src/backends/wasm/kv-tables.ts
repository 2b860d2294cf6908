/** @file Constants of the KV kernels in WASM memory: codebooks, rotations, sketches, calibrations. Made once each. */
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { RotationKind, SideFormat } from "../../quant/kv-format.ts";
import type { SideTransform } from "../../quant/kv-transform.ts";
import { projectionMatrix } from "../../quant/qjl.ts";
import { createRotation, powerOfTwoBelow } from "../../quant/rotation.ts";
import { codebookTable } from "./codebook-table.ts";
import type { WasmMemory } from "./memory.ts";
import { quantizerTable } from "./quantizer-table.ts";

export interface RotationData {
  readonly size: number;
  readonly rounds: number;
  /** Hadamard: signs · QR: the matrix. */
  readonly forward: number;
  /** Hadamard: signs · QR: the transposed matrix. */
  readonly inverse: number;
}

export interface CodebookData {
  readonly address: number;
  /** Value of one int16 step in the √headDim convention. */
  readonly step: number;
  readonly largest: number;
}

/** What the values of codes depend on, beside the head dimension. */
const bookOf = (side: SideFormat): string => `${side.type}/${side.codebookIterations}/${side.trellis === true}`;

const floatBytes = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

export class KvTables {
  readonly #memory: WasmMemory;
  readonly #made = new Map<string, unknown>();
  readonly #calibrations = new WeakMap<LayerCalibration, { mean: number; balance: number }>();

  readonly #transforms = new WeakMap<SideTransform, { forward: number; inverse: number; feedback: number }>();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** side: one of `tqN` */
  codebook(headDim: number, side: SideFormat): CodebookData {
    return this.#once(`codebook/${headDim}/${bookOf(side)}`, () => {
      const { bytes, step, max } = codebookTable(headDim, side);
      return { address: this.#put(bytes), step, largest: max };
    });
  }

  /** side: one of `tqN` */
  quantizer(headDim: number, side: SideFormat): number {
    return this.#once(`quantizer/${headDim}/${bookOf(side)}`, () => this.#put(quantizerTable(headDim, side)));
  }

  projection(headDim: number, seed: number, numProjections: number): number {
    return this.#once(`projection/${headDim}/${seed}/${numProjections}`, () =>
      this.#put(floatBytes(projectionMatrix("gaussian", headDim, seed, numProjections))),
    );
  }

  rotation(kind: RotationKind, headDim: number, seed: number): RotationData {
    return this.#once(`rotation/${kind}/${headDim}/${seed}`, () => {
      const rotation = createRotation(kind, headDim, seed);
      if (!rotation.matrix) {
        const size = powerOfTwoBelow(headDim);
        const all = new Float32Array(size * rotation.signs.length);
        rotation.signs.forEach((signs, i) => {
          all.set(signs, i * size);
        });
        const address = this.#put(floatBytes(all));
        return { size, rounds: rotation.signs.length, forward: address, inverse: address };
      }
      const transposed = new Float32Array(headDim * headDim);
      rotation.matrix.forEach((value, at) => {
        transposed[(at % headDim) * headDim + Math.floor(at / headDim)] = value;
      });
      const forward = this.#put(floatBytes(rotation.matrix));
      return { size: 0, rounds: 0, forward, inverse: this.#put(floatBytes(transposed)) };
    });
  }

  calibration(calibration: LayerCalibration): { mean: number; balance: number } {
    let made = this.#calibrations.get(calibration);
    if (!made) {
      made = {
        mean: this.#put(floatBytes(calibration.keyMean)),
        balance: this.#put(floatBytes(calibration.balance)),
      };
      this.#calibrations.set(calibration, made);
    }
    return made;
  }

  /** Addresses of the matrices, 0 for those that are not there. */
  transform(transform: SideTransform): { forward: number; inverse: number; feedback: number } {
    let made = this.#transforms.get(transform);
    if (!made) {
      const put = (matrix: Float32Array | null): number => (matrix ? this.#put(floatBytes(matrix)) : 0);
      const { forward, inverse, feedback } = transform;
      made = { forward: put(forward), inverse: put(inverse), feedback: put(feedback) };
      this.#transforms.set(transform, made);
    }
    return made;
  }

  #put(bytes: Uint8Array): number {
    const { address } = this.#memory.heap.allocate(bytes.length, "tables of the KV kernels");
    this.#memory.u8.set(bytes, address);
    return address;
  }

  #once<T>(key: string, make: () => T): T {
    if (!this.#made.has(key)) this.#made.set(key, make());
    return this.#made.get(key) as T;
  }
}
