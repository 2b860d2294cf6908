/**
 * @file Weight matrices on the device: rows padded to whole units, and cut
 * into several buffers if one would be larger than the device can bind.
 */
import { assert } from "../../../errors.ts";
import { MAX_FLOAT16 } from "../../../quant/sanitize.ts";
import { weightFormat, wgslWeightFormat } from "../../../weights/registry.ts";
import { isVector } from "../../../weights/weight-format.ts";
import { checkPart, stackParts } from "../../../weights/weight-part.ts";
import type { Weight, WeightType, WeightWriter } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import { RowKernels } from "./row-kernels.ts";
import { chunking, strideOf, weightBuffers } from "./weight-buffers.ts";
import { convertRows } from "./weight-bytes.ts";

/** Bytes of the source that are converted and uploaded at a time. */
const PIECE_BYTES = 32 << 20;

/** Rows of a matrix that are in one buffer. */
export interface WeightChunk {
  readonly first: number;
  readonly rows: number;
  readonly words: GpuBuffer;
  /** The words again if the type has no scales. */
  readonly scales: GpuBuffer;
}

export class GpuWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  readonly chunks: readonly WeightChunk[];
  /**
   * Whether matrix units may read it as f16: f16 itself, and types with a `peak` whose largest |w|
   * is at most 65504 and at least 2^-10, so that the rounding of small values to f16 (3e-8) does not matter. Determined only if
   * there are such units.
   */
  readonly fitsHalf: boolean;

  constructor(rows: number, cols: number, type: WeightType, chunks: readonly WeightChunk[], fitsHalf: boolean) {
    this.rows = rows;
    this.cols = cols;
    this.type = type;
    this.chunks = chunks;
    this.fitsHalf = fitsHalf;
  }

  /** Units of eight columns between the starts of two rows. */
  get stride(): number {
    return strideOf(this.cols, this.type);
  }

  /** Whether rows are single numbers that are stored side by side, without the layout of a matrix. */
  get isColumn(): boolean {
    return this.cols === 1 && isVector(weightFormat(this.type), this.rows, this.cols);
  }

  /** The only buffer of a vector (norms and biases). */
  get buffer(): GpuBuffer {
    assert(this.chunks.length === 1 && this.type === "f32", "a matrix where a vector is wanted");
    return this.chunks[0]!.words;
  }

  get numBytes(): number {
    return this.chunks.reduce(
      (sum, { words, scales }) => sum + words.numBytes + (scales === words ? 0 : scales.numBytes),
      0,
    );
  }
}

/** Whether values of this magnitude are rounded to f16 without harm to those beside them; see `GpuWeight.fitsHalf`. */
const isLarge = (peak: number): boolean => peak >= 2 ** -10;

export class WeightLoader {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #limit: number;
  readonly #matrices: boolean;
  /** Made with the first matrix. */
  #kernels: RowKernels | null | undefined;

  /** bindingLimit: the most bytes of one buffer; default: what the device can bind */
  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator, bindingLimit?: number) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#matrices = context.features.matrices;
    this.#limit = bindingLimit ?? context.bindingBytes;
  }

  /** See `Ops.createWeight`. @throws TurboQuantError out_of_memory */
  createWeight(rows: number, cols: number, as: WeightType, unit = 1): WeightWriter {
    if (isVector(weightFormat(as), rows, cols)) return this.#vector(rows, cols, as);
    const { peak: peakOf, isHalf } = wgslWeightFormat(as);
    const stride = strideOf(cols, as);
    const { rowBytes, rowScaleBytes, perChunk } = chunking(cols, as, this.#limit, unit);
    const chunks: WeightChunk[] = weightBuffers(rows, cols, as, this.#limit, unit).map((chunk) => {
      const words = this.#allocator.allocate(chunk.wordBytes, `weight ${rows}x${cols} ${as}`);
      const scales = chunk.scaleBytes > 0 ? this.#allocator.allocate(chunk.scaleBytes, "weight scales") : words;
      return { first: chunk.first, rows: chunk.rows, words, scales };
    });
    let peak = 0;
    const scan = this.#matrices && peakOf !== undefined;
    if (this.#kernels === undefined) this.#kernels = RowKernels.open();
    const kernels = this.#kernels;
    return {
      write: (part, row) => {
        checkPart(part, cols);
        const ofKernels = kernels?.rowsAtOnce(part, as) ?? 0;
        const atOnce = ofKernels || Math.max(1, Math.floor(PIECE_BYTES / (cols * 4)));
        let areFinite = true;
        for (let from = 0; from < part.rows; ) {
          const chunk = chunks[Math.floor((row + from) / perChunk)]!;
          const at = row + from - chunk.first;
          const count = Math.min(atOnce, part.rows - from, chunk.rows - at);
          const own = ofKernels > 0 ? kernels!.convert(part, from, count, as) : null;
          const converted = own ?? convertRows(part, from, count, as, stride);
          this.#commands.write(chunk.words, at * rowBytes, converted.words);
          if (converted.scales) this.#commands.write(chunk.scales, at * rowScaleBytes, converted.scales);
          if (scan) peak = Math.max(peak, own && isLarge(own.peak.least) ? own.peak.most : peakOf(converted));
          areFinite = own?.areFinite === true && areFinite;
          from += count;
        }
        return this.#commands.drain()?.then(() => areFinite) ?? areFinite;
      },
      finish: () => {
        const fits = isHalf || (scan && peak <= MAX_FLOAT16 && (isLarge(peak) || peak === 0));
        return new GpuWeight(rows, cols, as, chunks, this.#matrices && fits);
      },
    };
  }

  #vector(rows: number, cols: number, as: WeightType): WeightWriter {
    const buffer = this.#allocator.allocate(rows * cols * 4, "vector");
    return {
      write: (part, row) => {
        checkPart(part, cols);
        this.#commands.write(buffer, row * cols * 4, stackParts([part]).data);
        return false;
      },
      finish: () => new GpuWeight(rows, cols, as, [{ first: 0, rows, words: buffer, scales: buffer }], false),
    };
  }
}

export function asGpuWeight(weight: Weight): GpuWeight {
  assert(weight instanceof GpuWeight, "a weight of another backend");
  return weight;
}
