/** @file The list of tables in docs/findings.md, by name. */
import { codebookIterations, vectorCosines } from "./codes.ts";
import {
  allocations,
  france,
  iterationsInModels,
  perplexities,
  presets,
  qjlInModels,
  realVectors,
  scores,
  sides,
  sizes,
} from "./measured.ts";
import { compressionByContext, compressionRatios, memoryTable, smallModelMemory } from "./memory.ts";
import { promptIntervals } from "./prompts.ts";
import { projectionSizes, qjlAtEqualBits } from "./qjl.ts";

export const SECTIONS: Readonly<Record<string, () => string>> = {
  iterations: codebookIterations,
  cosines: vectorCosines,
  qjl: qjlAtEqualBits,
  projections: projectionSizes,
  ratios: compressionRatios,
  contexts: compressionByContext,
  memory: memoryTable,
  "memory-0.6b": smallModelMemory,
  prompts: promptIntervals,
  sizes,
  perplexities,
  sides,
  "qjl-models": qjlInModels,
  "iterations-models": iterationsInModels,
  presets,
  scores,
  france,
  allocations,
  vectors: realVectors,
};
