/** @file The WebGPU backend over a device that is only described: it plans and makes the text of every kernel, and holds no weights. */
import { weightFormat, wgslWeightFormat } from "../../weights/registry.ts";
import { isVector } from "../../weights/weight-format.ts";
import type { WeightPart, WeightType } from "../ops.ts";
import { WebGpuBackend } from "./backend.ts";
import { type DescribedFeatures, describedContext } from "./device/described-device.ts";
import { GpuWeight } from "./linear/gpu-weight.ts";
import { weightBuffers } from "./linear/weight-buffers.ts";

export class DescribedBackend extends WebGpuBackend {
  /** onKernel: told of each kernel when it is made, with its label and its WGSL */
  constructor(features: DescribedFeatures, onKernel: (label: string, code: string) => void) {
    super(describedContext(features, onKernel));
  }

  /** A weight of the parts' shape; their data is not looked at, and values are taken to fit f16. */
  override loadWeight(parts: readonly WeightPart[], as: WeightType): GpuWeight {
    const rows = parts.reduce((sum, part) => sum + part.rows, 0);
    const { cols } = parts[0]!;
    const chunks = weightBuffers(rows, cols, as, this.context.bindingBytes).map((chunk) => {
      const words = this.allocator.allocate(chunk.wordBytes, "weight");
      const scales = chunk.scaleBytes > 0 ? this.allocator.allocate(chunk.scaleBytes, "weight scales") : words;
      return { first: chunk.first, rows: chunk.rows, words, scales };
    });
    const mayFitHalf = (): boolean => wgslWeightFormat(as).isHalf || wgslWeightFormat(as).peak !== undefined;
    const fitsHalf = this.context.features.matrices && !isVector(weightFormat(as), rows, cols) && mayFitHalf();
    return new GpuWeight(rows, cols, as, chunks, fitsHalf);
  }
}
