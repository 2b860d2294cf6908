/** @file GLM 5: DeepSeek-V3.2 where some layers attend to the tokens that a layer before them chose. */
import type { ConfigFields } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { deepseekExperts, isSparseByType } from "../readers/expert-fields.ts";
import { type IndexerDefaults, indexedLayer, indexedMixer, parseIndexer } from "../readers/indexed-attention.ts";
import { deepseekV32 } from "./deepseek_v32.ts";

/** Which layers choose tokens: by a list, by a pattern of F and S, or each so manieth behind the first few. */
function layersOf(config: ConfigFields, numLayers: number): boolean[] {
  const kinds = config.has("indexer_types") ? config.raw("indexer_types") : config.raw("index_topk_pattern");
  if (kinds !== undefined) {
    const field = config.has("indexer_types") ? "indexer_types" : "index_topk_pattern";
    const list: unknown[] = typeof kinds === "string" ? [...kinds].map((kind) => KINDS[kind]) : [kinds].flat();
    if (list.length !== numLayers || !list.every((kind) => kind === "full" || kind === "shared"))
      throw config.invalid(
        field,
        `a list of ${numLayers} times full or shared, or as many letters F or S, one a layer`,
      );
    return list.map((kind) => kind === "full");
  }
  const each = Math.max(1, config.integer("index_topk_freq", 0, 1024, 1));
  const offset = config.integer("index_skip_topk_offset", 0, 1024, 2);
  return Array.from({ length: numLayers }, (_, layer) => Math.max(layer - offset + 1, 0) % each === 0);
}

const KINDS: Readonly<Record<string, string>> = { F: "full", S: "shared" };

const INDEXER: IndexerDefaults = { numHeads: 32, isInterleaved: true, layersOf };

export const glmMoeDsa: Family = {
  ...deepseekV32,
  modelType: "glm_moe_dsa",
  summary: "`deepseek_v32` where some layers attend to the tokens that a layer before them chose",
  defaults: {
    ...deepseekV32.defaults,
    numHeads: 64,
    vocabSize: 154_880,
    maxPosition: 202_752,
    intermediateSize: 12_288,
    normEps: 1e-5,
  },
  latent: { kvRank: 512, queryRank: 2048, nopeDim: 192, ropeDim: 64, valueDim: 256, interleave: true },
  traits: (config) => ({ ...deepseekV32.traits?.(config), indexer: parseIndexer(config, INDEXER) }),
  mixer: indexedMixer(INDEXER),
  branches: indexedLayer,
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, { numExperts: 256, topK: 8, width: 2048, scale: 2.5 });
    const isSparse = isSparseByType(config, sizes.numLayers, config.integer("first_k_dense_replace", 0, 1024, 3));
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
