/** @file What the KV kernels read of a layer, in WASM memory: codebooks, rotation, sketches, calibration. Made once a layer. */
import type { SideFormat } from "../../quant/kv-format.ts";
import { isRotated } from "../../quant/page-layout.ts";
import type { PreparedLayer } from "../../quant/prepared-layer.ts";
import { projectionMatrix } from "../../quant/qjl.ts";
import { createRotation, powerOfTwoBelow } from "../../quant/rotation.ts";
import { kindOf } from "../../quant/side-kind.ts";
import { SharedTables } from "../shared-tables.ts";
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

/** Addresses of one side; 0 for what it does not have. */
export interface SideTables {
  /** Of codes, for attention. */
  readonly codebook: CodebookData | null;
  /** Of codes, for append. */
  readonly quantizer: number;
  /** Of a QJL sketch. */
  readonly projection: number;
  /** Matrices of `SideTransform`. */
  readonly forward: number;
  readonly inverse: number;
  readonly feedback: number;
}

export interface LayerTables {
  /** Of the keys; 0 without a calibration. */
  readonly mean: number;
  readonly balance: number;
  readonly k: SideTables;
  readonly v: SideTables;
  readonly rotation: RotationData | null;
  dispose(): void;
}

/** What the values of codes depend on, beside the head dimension. */
const bookOf = (side: SideFormat): string => `${side.type}/${side.codebookIterations}/${side.trellis === true}`;

const floatBytes = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** Ranges of the heap that are freed together. */
class Ranges {
  readonly #memory: WasmMemory;
  readonly #taken: { readonly address: number; readonly numBytes: number }[] = [];

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  put(bytes: Uint8Array): number {
    const { address } = this.#memory.heap.allocate(bytes.length, "tables of the KV kernels");
    this.#memory.u8.set(bytes, address);
    this.#taken.push({ address, numBytes: bytes.length });
    return address;
  }

  free(): void {
    for (const { address, numBytes } of this.#taken.splice(0)) this.#memory.heap.free(address, numBytes);
  }
}

interface SharedTable {
  readonly ranges: Ranges;
  readonly value: unknown;
}

export class KvTables {
  readonly #memory: WasmMemory;
  readonly #shared = new SharedTables<SharedTable>(({ ranges }) => ranges.free());

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** Freed with the layer. @throws TurboQuantError out_of_memory */
  of(layer: PreparedLayer): LayerTables {
    return layer.copies(this, this.#make);
  }

  readonly #make = (layer: PreparedLayer): LayerTables => {
    const { calibration, transforms, format, headDim } = layer;
    const own = new Ranges(this.#memory);
    const keys: string[] = [];
    const put = (values: Float32Array | null | undefined): number => (values ? own.put(floatBytes(values)) : 0);
    const shared = <T>(key: string, make: (ranges: Ranges) => T): T => {
      const { value } = this.#shared.take(key, () => this.#makeShared(make));
      keys.push(key);
      return value as T;
    };
    const side = (which: "k" | "v"): SideTables => {
      const of = format[which];
      const hasCodes = kindOf(of.type) === "scalar";
      const numProjections = of.projections ?? headDim;
      return {
        codebook: hasCodes ? shared(`codebook/${headDim}/${bookOf(of)}`, (to) => putCodebook(to, headDim, of)) : null,
        quantizer: hasCodes
          ? shared(`quantizer/${headDim}/${bookOf(of)}`, (to) => to.put(quantizerTable(headDim, of)))
          : 0,
        projection: of.qjl
          ? shared(`projection/${headDim}/${format.seed}/${numProjections}`, (to) =>
              to.put(floatBytes(projectionMatrix("gaussian", headDim, format.seed, numProjections))),
            )
          : 0,
        forward: put(transforms[which].forward),
        inverse: put(transforms[which].inverse),
        feedback: put(transforms[which].feedback),
      };
    };
    const dispose = (): void => {
      own.free();
      for (const key of keys.splice(0)) this.#shared.giveBack(key);
    };
    try {
      const rotated = isRotated(format.k, format) || isRotated(format.v, format);
      return {
        mean: put(calibration?.keyMean),
        balance: put(calibration?.balance),
        k: side("k"),
        v: side("v"),
        rotation: rotated
          ? shared(`rotation/${format.rotation}/${headDim}/${format.seed}`, (to) => putRotation(to, layer))
          : null,
        dispose,
      };
    } catch (error) {
      dispose();
      throw error;
    }
  };

  #makeShared(make: (ranges: Ranges) => unknown): SharedTable {
    const ranges = new Ranges(this.#memory);
    try {
      return { ranges, value: make(ranges) };
    } catch (error) {
      ranges.free();
      throw error;
    }
  }
}

function putCodebook(to: Ranges, headDim: number, side: SideFormat): CodebookData {
  const { bytes, step, max } = codebookTable(headDim, side);
  return { address: to.put(bytes), step, largest: max };
}

function putRotation(to: Ranges, { format, headDim }: PreparedLayer): RotationData {
  const rotation = createRotation(format.rotation, headDim, format.seed);
  if (!rotation.matrix) {
    const size = powerOfTwoBelow(headDim);
    const all = new Float32Array(size * rotation.signs.length);
    rotation.signs.forEach((signs, i) => {
      all.set(signs, i * size);
    });
    const address = to.put(floatBytes(all));
    return { size, rounds: rotation.signs.length, forward: address, inverse: address };
  }
  const transposed = new Float32Array(headDim * headDim);
  rotation.matrix.forEach((value, at) => {
    transposed[(at % headDim) * headDim + Math.floor(at / headDim)] = value;
  });
  const forward = to.put(floatBytes(rotation.matrix));
  return { size: 0, rounds: 0, forward, inverse: to.put(floatBytes(transposed)) };
}
