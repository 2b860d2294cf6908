/** @file A model with random calibrations: what a published model has from its first load on, dense transforms and error feedback. */
import type { BenchModel } from "../../src/bench/bench-model.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { randomCalibration } from "../../test/support/calibration.ts";

/** The same model, whose decoders have a calibration for every layer. */
export function withCalibrations(model: BenchModel): BenchModel {
  const { numLayers, numKvHeads, headDim } = model.config;
  const calibrations = Array.from({ length: numLayers }, () => randomCalibration(numKvHeads, headDim));
  return {
    ...model,
    dispose: () => model.dispose(),
    decoders: async (specs) => {
      const plain = await model.decoders(specs);
      return plain.map((decoder, i) => decoder.withFormat(parseKvSpec(specs[i]!), calibrations));
    },
  };
}
