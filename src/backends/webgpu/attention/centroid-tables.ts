/** @file Centroids of the sides of layers on the device, shared by layers of one format and width. */
import { nameOf } from "../../../quant/codecs/registry.ts";
import { windowSide } from "../../../quant/window-side.ts";
import type { AttentionLayer } from "../../ops.ts";
import { SharedTables } from "../../shared-tables.ts";
import { sideCentroids } from "../codec/side-tables.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import { type AttendOptions, sidesOf } from "./attend-options.ts";

export interface LayerCentroids {
  readonly buffer: GpuBuffer;
  readonly at: Pick<AttendOptions, "centroidsAt" | "windowCentroidsAt">;
  giveBack(): void;
}

export class CentroidTables {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #tables = new SharedTables<GpuBuffer>((buffer) => this.#allocator.free(buffer));

  constructor(commands: Commands, allocator: BufferAllocator) {
    this.#commands = commands;
    this.#allocator = allocator;
  }

  /** Those of K, of V, and of sinks and window of 8 bits, or those of a coarser tier. They have to be given back. */
  take(layer: AttentionLayer, tier = 0): LayerCentroids {
    const { kv, headDim, valueDim } = layer;
    const format = sidesOf({ layer, tier });
    const [kc, vc] = [sideCentroids(format.k, headDim), sideCentroids(format.v, valueDim)];
    const ofWindow = (dim: number): Float32Array =>
      tier === 0 ? sideCentroids(windowSide(kv.format), dim) : new Float32Array(0);
    const [kw, vw] = [ofWindow(headDim), ofWindow(valueDim)];
    const windowAt = kc.length + vc.length;
    const key = `centroids ${headDim} ${nameOf(format.k)} ${valueDim} ${nameOf(format.v)}${kw.length > 0 ? " with a window" : ""}`;
    const upload = (): GpuBuffer => {
      const values = Float32Array.from([...kc, ...vc, ...kw, ...vw]);
      const buffer = this.#allocator.allocate(values.byteLength, key);
      this.#commands.write(buffer, 0, values);
      return buffer;
    };
    return {
      buffer: this.#tables.take(key, upload),
      at: {
        centroidsAt: { k: 0, v: kc.length },
        ...(kw.length > 0 && { windowCentroidsAt: { k: windowAt, v: windowAt + kw.length } }),
      },
      giveBack: () => this.#tables.giveBack(key),
    };
  }
}
