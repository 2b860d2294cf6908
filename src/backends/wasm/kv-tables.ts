/**
 * @file Constants of a layer in WASM memory for the KV kernels: codebooks, rotation, sketches, calibration. Made once for each layer.
 */
import { layerCache } from "../../cache/layer-cache.ts";
import type { LayerKvFormat, SideFormat } from "../../quant/kv-format.ts";
import { isRotated } from "../../quant/page-layout.ts";
import { dimOf } from "../../quant/page-regions.ts";
import type { PreparedLayer } from "../../quant/prepared-layer.ts";
import { projectionMatrix, sketchFactor } from "../../quant/qjl.ts";
import { recodedCentroids } from "../../quant/recoder.ts";
import { createRotation, powerOfTwoBelow } from "../../quant/rotation.ts";
import type { ScaleRule } from "../../quant/rules.ts";
import { windowSide } from "../../quant/window-side.ts";
import { appendSide, attendSide, attendTier } from "../parameters/attention.ts";
import type { Struct, ValuesOf } from "../parameters/struct.ts";
import { SharedTables } from "../shared-tables.ts";
import type { CodebookTable } from "./codebook-table.ts";
import { wasmCodecs } from "./codecs/registry.ts";
import type { WasmMemory } from "./memory.ts";
import { tierAppendSide, tierAttendSide, windowAppendSide, windowAttendSide } from "./window-sides.ts";

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
  /** Value of one int16 step, for vectors whose norm is the root of their length. */
  readonly step: number;
  readonly largest: number;
}

export interface SketchData {
  /** Of the projection matrix. */
  readonly address: number;
  readonly rows: number;
  /** √(π/2) over the number of rows. */
  readonly factor: number;
}

/** What kernels are told of one side, beside its regions in a page. Addresses are 0 for what it does not have. */
export interface SideTables {
  /** How kernels name its type. */
  readonly type: number;
  readonly isRotated: boolean;
  /** Null where nothing is rotated. */
  readonly rotation: RotationData | null;
  /** Of codes. */
  readonly rule: ScaleRule;
  readonly search: boolean;
  /** Codebook for attention. */
  readonly codebook: CodebookData | null;
  /** Codebook for append. */
  readonly quantizer: number;
  readonly sketch: SketchData | null;
  /** Matrices of `SideTransform`. */
  readonly forward: number;
  readonly inverse: number;
  readonly feedback: number;
  /** Of sinks and window of 8 bits: blocks of `appendSide` and `attendSide` that are written once; 0 for 16 bits. */
  readonly windowAppend: number;
  readonly windowAttend: number;
}

export interface LayerTables {
  /** Mean of the keys; 0 without a calibration. */
  readonly mean: number;
  readonly balance: number;
  readonly k: SideTables;
  readonly v: SideTables;
  readonly tiers: TierTables;
  dispose(): void;
}

/** Blocks that are written once for the tiers of a layer. */
interface TierTables {
  /** Address of an `appendSide` for each tier, from the finest on; none without coarser tiers. */
  readonly append: readonly { readonly k: number; readonly v: number }[];
  /** Address of an `attendTier` for each coarser one, and their number. */
  readonly attend: number;
  readonly count: number;
}

const NO_TIERS: TierTables = { append: [], attend: 0, count: 0 };

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

  /**
   * The constants of a layer; they are freed with it.
   * @throws TurboQuantError out_of_memory
   */
  of(layer: PreparedLayer): LayerTables {
    return layer.copies(this, this.#make);
  }

  readonly #make = (layer: PreparedLayer): LayerTables => {
    const { calibration, transforms, format } = layer;
    const own = new Ranges(this.#memory);
    const keys: string[] = [];
    const put = (values: Float32Array | null | undefined): number => (values ? own.put(floatBytes(values)) : 0);
    const shared = <T>(key: string, make: (ranges: Ranges) => T): T => {
      const { value } = this.#shared.take(key, () => this.#makeShared(make));
      keys.push(key);
      return value as T;
    };
    const putBlock = <S extends Struct>(struct: S, values: ValuesOf<S>): number => {
      const bytes = new Uint8Array(struct.numBytes);
      struct.write(new DataView(bytes.buffer), 0, values);
      return own.put(bytes);
    };
    const centroidsOf = (of: SideFormat, dim: number): number =>
      shared(`centroids/${dim}/${wasmCodecs.of(of).book!(of, dim).key}`, (to) =>
        to.put(floatBytes(recodedCentroids(of, dim))),
      );
    const window = format.windowBits === 8 ? layerCache(format, layer).residual?.layout : undefined;
    const windowBlocks = (which: "k" | "v", feedback: number): Pick<SideTables, "windowAppend" | "windowAttend"> => {
      if (!window) return { windowAppend: 0, windowAttend: 0 };
      const dim = dimOf(layer, which);
      const of = windowSide(format);
      const book = wasmCodecs.of(of).book!(of, dim);
      const codebook = shared(`codebook/${dim}/${book.key}`, (to) => putCodebook(to, book.codebook()));
      const quantizer = shared(`quantizer/${dim}/${book.key}`, (to) => to.put(book.quantizer()));
      const centroids = centroidsOf(of, dim);
      return {
        windowAppend: putBlock(appendSide, windowAppendSide(window[which], dim, quantizer, centroids, feedback)),
        windowAttend: putBlock(attendSide, windowAttendSide(window[which], dim, codebook)),
      };
    };
    const side = (which: "k" | "v", of: SideFormat): SideTables => {
      const headDim = dimOf(layer, which);
      const rotated = isRotated(of, format);
      const codec = wasmCodecs.of(of);
      const book = codec.book?.(of, headDim);
      const rows = codec.projectionsOf?.(of, headDim) ?? 0;
      const feedback = put(transforms[which].feedback);
      const projections = (): Float32Array => projectionMatrix("gaussian", headDim, format.seed, rows);
      return {
        type: codec.typeCode(of),
        isRotated: rotated,
        rotation: rotated
          ? shared(`rotation/${format.rotation}/${headDim}/${format.seed}`, (to) => putRotation(to, format, headDim))
          : null,
        ...(codec.scaleOf?.(of) ?? { rule: "norm", search: false }),
        codebook: book ? shared(`codebook/${headDim}/${book.key}`, (to) => putCodebook(to, book.codebook())) : null,
        quantizer: book ? shared(`quantizer/${headDim}/${book.key}`, (to) => to.put(book.quantizer())) : 0,
        sketch:
          rows > 0
            ? {
                address: shared(`projection/${headDim}/${format.seed}/${rows}`, (to) =>
                  to.put(floatBytes(projections())),
                ),
                rows,
                factor: sketchFactor("gaussian", headDim, rows),
              }
            : null,
        forward: put(transforms[which].forward),
        inverse: put(transforms[which].inverse),
        feedback,
        ...windowBlocks(which, feedback),
      };
    };
    /** What a coarser tier is stored and read as, beside what it has in common with the finest. finest: its tables */
    const tierSide = (which: "k" | "v", of: SideFormat, finest: SideTables): SideTables => {
      const dim = dimOf(layer, which);
      const codec = wasmCodecs.of(of);
      const book = codec.book!(of, dim);
      return {
        ...finest,
        type: codec.typeCode(of),
        ...codec.scaleOf!(of),
        codebook: shared(`codebook/${dim}/${book.key}`, (to) => putCodebook(to, book.codebook())),
        quantizer: shared(`quantizer/${dim}/${book.key}`, (to) => to.put(book.quantizer())),
      };
    };
    const tiers = (k: SideTables, v: SideTables): LayerTables["tiers"] => {
      if (!format.tiers) return NO_TIERS;
      const { main, tiers: coarser } = layerCache(format, layer);
      const layouts = [main, ...coarser.map(({ layout }) => layout)];
      const all = [format, ...format.tiers];
      const tables = all.map((of, tier) =>
        tier === 0 ? { k, v } : { k: tierSide("k", of.k, k), v: tierSide("v", of.v, v) },
      );
      const appendOf = (tier: number, which: "k" | "v"): number => {
        const dim = dimOf(layer, which);
        // Only what is followed by another tier is ever coded anew.
        const centroids = tier + 1 < all.length ? centroidsOf(all[tier]![which], dim) : 0;
        return putBlock(appendSide, tierAppendSide(layouts[tier]![which], dim, tables[tier]![which], centroids));
      };
      const attended = new Uint8Array(attendTier.numBytes * coarser.length);
      for (const [i, { layout, after }] of coarser.entries()) {
        const sideOf = (which: "k" | "v") => tierAttendSide(layout[which], dimOf(layer, which), tables[i + 1]![which]);
        attendTier.write(new DataView(attended.buffer), i * attendTier.numBytes, {
          after,
          kSide: sideOf("k"),
          vSide: sideOf("v"),
        });
      }
      return {
        append: all.map((_, tier) => ({ k: appendOf(tier, "k"), v: appendOf(tier, "v") })),
        attend: own.put(attended),
        count: coarser.length,
      };
    };
    const dispose = (): void => {
      own.free();
      for (const key of keys.splice(0)) this.#shared.giveBack(key);
    };
    try {
      const [k, v] = [side("k", format.k), side("v", format.v)];
      return {
        mean: put(calibration?.keyMean),
        balance: put(calibration?.balance),
        k,
        v,
        tiers: tiers(k, v),
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

function putCodebook(to: Ranges, { bytes, step, max }: CodebookTable): CodebookData {
  return { address: to.put(bytes), step, largest: max };
}

function putRotation(to: Ranges, format: LayerKvFormat, headDim: number): RotationData {
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
