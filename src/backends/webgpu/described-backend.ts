/**
 * @file The WebGPU backend over a device that exists only as a
 * description: it plans and generates every kernel, but holds no weights.
 */
import { weightFormat, wgslWeightFormat } from "../../weights/registry.ts";
import { isVector } from "../../weights/weight-format.ts";
import type { WeightType, WeightWriter } from "../ops.ts";
import { WebGpuBackend } from "./backend.ts";
import { type DescribedFeatures, describedContext } from "./device/described-device.ts";
import { GpuWeight } from "./linear/gpu-weight.ts";
import { weightBuffers } from "./linear/weight-buffers.ts";
import type { KernelPlans } from "./plans/kernel-plans.ts";

export class DescribedBackend extends WebGpuBackend {
  /** onKernel: called for each new kernel with its label and its WGSL */
  constructor(features: DescribedFeatures, onKernel: (label: string, code: string) => void, plans?: KernelPlans) {
    super(describedContext(features, onKernel), plans);
  }

  /** A weight with this shape. What is written to it is not read, and values are assumed to fit f16. */
  override createWeight(rows: number, cols: number, as: WeightType, unit = 1): WeightWriter {
    const chunks = weightBuffers(rows, cols, as, this.context.bindingBytes, unit).map((chunk) => {
      const words = this.allocator.allocate(chunk.wordBytes, "weight");
      const scales = chunk.scaleBytes > 0 ? this.allocator.allocate(chunk.scaleBytes, "weight scales") : words;
      return { first: chunk.first, rows: chunk.rows, words, scales };
    });
    const mayFitHalf = (): boolean => wgslWeightFormat(as).isHalf || wgslWeightFormat(as).peak !== undefined;
    const fitsHalf = this.context.features.matrices && !isVector(weightFormat(as), rows, cols) && mayFitHalf();
    return { write: () => true, finish: () => new GpuWeight(rows, cols, as, chunks, fitsHalf) };
  }
}
