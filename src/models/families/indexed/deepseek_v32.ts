/** @file DeepSeek-V3.2: V3 with an indexer in each layer, which chooses the tokens that are attended to. */

import type { Family } from "../family.ts";
import { deepseekV3 } from "../latent/deepseek_v3.ts";
import { deepseekExperts, isSparseByType } from "../readers/expert-fields.ts";
import { type IndexerDefaults, indexedLayer, indexedMixer, parseIndexer } from "../readers/indexed-attention.ts";

const INDEXER: IndexerDefaults = {
  numHeads: 64,
  isInterleaved: false,
  layersOf: (_, numLayers) => Array.from({ length: numLayers }, () => true),
};

export const deepseekV32: Family = {
  ...deepseekV3,
  modelType: "deepseek_v32",
  summary: "`deepseek_v3` with an indexer, whose keys are cached: each token attends to those that score best",
  defaults: { ...deepseekV3.defaults, maxPosition: 163_840 },
  latent: { ...deepseekV3.latent!, interleave: true },
  traits: (config) => ({ ...deepseekV3.traits?.(config), indexer: parseIndexer(config, INDEXER) }),
  mixer: indexedMixer(INDEXER),
  branches: indexedLayer,
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, {
      ...{ numExperts: 256, topK: 8, width: 2048, scale: 2.5 },
      groups: { count: 8, chosen: 4 },
    });
    const isSparse = isSparseByType(config, sizes.numLayers, config.integer("first_k_dense_replace", 0, 1024, 3));
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
