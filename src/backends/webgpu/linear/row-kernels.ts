/** @file The WASM kernels that convert rows of a checkpoint to q8 and q4, the formats that quantized files become; many times as fast as TypeScript. */
import { type WeightType, weightFormat } from "../../../weights/registry.ts";
import { type DeviceRows, rowBytes } from "../../../weights/weight-format.ts";
import { storedRows, type WeightPart } from "../../../weights/weight-part.ts";
import { deviceRows } from "../../parameters/activations.ts";
import { rowKernels } from "../generated/row-kernels.ts";

const PAGE = 65536;
/** Of the parameter block, and of what kernels need while they work. Address 0 stays unused. */
const [PARAMS, SCRATCH, FIRST] = [1024, 4096, 8192];
/** Bytes of the source that are converted at a time: they and the result fit the caches of a core. */
const PIECE_BYTES = 256 << 10;
const GROUP = 32;

type Kernel = (params: number, scratch: number) => void;

const KERNELS: Readonly<Record<string, "rowsToQ8" | "rowsToQ4">> = { q8: "rowsToQ8", q4: "rowsToQ4" };

export interface ConvertedRows extends DeviceRows {
  /** Whether all values are known to be finite. */
  readonly areFinite: boolean;
  /** What `WgslWeightFormat.peak` is at most, and at least. */
  readonly peak: { readonly most: number; readonly least: number };
}

/** The number by which kernels know the rows of a part that become `as`; undefined where they do not read them. */
function sourceCode(part: Pick<WeightPart, "dtype">, as: WeightType): number | undefined {
  const { wasm, wasmSource } = weightFormat(part.dtype);
  return wasm?.isSource || part.dtype === as ? wasm?.code : wasmSource;
}

export class RowKernels {
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Readonly<Record<string, Kernel>>;

  private constructor(memory: WebAssembly.Memory, kernels: Readonly<Record<string, Kernel>>) {
    this.#memory = memory;
    this.#kernels = kernels;
  }

  /** null where a page's policy or the engine forbids WebAssembly: rows are converted in TypeScript then, to the same bytes. */
  static open(): RowKernels | null {
    try {
      const bytes = Uint8Array.from(atob(rowKernels.base64), (character) => character.charCodeAt(0));
      const memory = new WebAssembly.Memory({ initial: 1, maximum: rowKernels.maxPages });
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
      return new RowKernels(memory, exports as unknown as Record<string, Kernel>);
    } catch {
      return null;
    }
  }

  /** How many rows of a part `convert` takes at a time; 0 where it does not take them at all. */
  rowsAtOnce(part: WeightPart, as: WeightType): number {
    if (!KERNELS[as] || sourceCode(part, as) === undefined) return 0;
    const rows = Math.max(1, Math.floor(PIECE_BYTES / rowBytes(weightFormat(part.dtype), part.cols)));
    return this.#layout(part, rows, as).end <= rowKernels.maxPages * PAGE ? rows : 0;
  }

  /**
   * Rows [first, first + count) of a part; of a shape and type that `rowsAtOnce` allows. The result is memory of the kernels, which the next call
   * writes to.
   */
  convert(part: WeightPart, first: number, count: number, as: WeightType): ConvertedRows {
    const { from, to, scales, end, stride } = this.#layout(part, count, as);
    const missing = end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    const { buffer } = this.#memory;
    new Uint8Array(buffer, from).set(storedRows(part, first, count));
    const view = new DataView(buffer);
    const { isSource = false } = weightFormat(part.dtype).wasm ?? {};
    deviceRows.write(view, PARAMS, {
      from,
      dtype: sourceCode(part, as)!,
      to,
      scales,
      cols: part.cols,
      stride,
      rows: count,
      sourceBytes: rowBytes(weightFormat(part.dtype), part.cols),
      notFinite: 0,
      peak: 0,
      leastPeak: 0,
    });
    this.#kernels[KERNELS[as]!]!(PARAMS, SCRATCH);
    const numScales = (count * stride) / GROUP;
    return {
      words: new Uint8Array(buffer, to, scales - to),
      scales: as === "q8" ? new Float32Array(buffer, scales, numScales) : new Uint32Array(buffer, scales, numScales),
      peak: {
        most: view.getFloat32(PARAMS + deviceRows.offsets.peak, true),
        least: view.getFloat32(PARAMS + deviceRows.offsets.leastPeak, true),
      },
      areFinite: isSource && view.getUint32(PARAMS + deviceRows.offsets.notFinite, true) === 0,
    };
  }

  #layout(part: WeightPart, rows: number, as: WeightType) {
    const stride = Math.ceil(part.cols / GROUP) * GROUP;
    const to = Math.ceil((FIRST + rows * rowBytes(weightFormat(part.dtype), part.cols)) / 16) * 16;
    const scales = to + (rows * stride * weightFormat(as).block.codeBits) / 8;
    return { from: FIRST, to, scales, end: scales + (rows * stride * 4) / GROUP, stride };
  }
}
