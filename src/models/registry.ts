/** @file The registry of supported model types, and what unsupported ones would need. */
import { TurboQuantError } from "../errors.ts";
import type { ConfigFields } from "./config-fields.ts";
import { afmoe } from "./families/afmoe.ts";
import { apertus } from "./families/apertus.ts";
import { arcee } from "./families/arcee.ts";
import { bailingHybrid } from "./families/bailing_hybrid.ts";
import { bamba } from "./families/bamba.ts";
import { bitnet } from "./families/bitnet.ts";
import { cohere2 } from "./families/cohere2.ts";
import { cohere2Moe } from "./families/cohere2_moe.ts";
import { deepseekV2 } from "./families/deepseek_v2.ts";
import { deepseekV3, kimiK2 } from "./families/deepseek_v3.ts";
import { deepseekV32 } from "./families/deepseek_v32.ts";
import { dots1 } from "./families/dots1.ts";
import { ernie45 } from "./families/ernie4_5.ts";
import { ernie45Moe } from "./families/ernie4_5_moe.ts";
import { exaoneMoe } from "./families/exaone_moe.ts";
import { exaone4 } from "./families/exaone4.ts";
import { falcon } from "./families/falcon.ts";
import { falconH1 } from "./families/falcon_h1.ts";
import type { Family } from "./families/family.ts";
import { gemma } from "./families/gemma.ts";
import { gemma2 } from "./families/gemma2.ts";
import { gemma3 } from "./families/gemma3.ts";
import { gemma3n } from "./families/gemma3n.ts";
import { gemma4, gemma4Unified } from "./families/gemma4.ts";
import { glm } from "./families/glm.ts";
import { glmMoeDsa } from "./families/glm_moe_dsa.ts";
import { glm4 } from "./families/glm4.ts";
import { glm4Moe } from "./families/glm4_moe.ts";
import { glm4MoeLite } from "./families/glm4_moe_lite.ts";
import { gptBigcode } from "./families/gpt_bigcode.ts";
import { gptNeox } from "./families/gpt_neox.ts";
import { gptOss } from "./families/gpt_oss.ts";
import { gpt2 } from "./families/gpt2.ts";
import { granite } from "./families/granite.ts";
import { graniteSwa } from "./families/granite_swa.ts";
import { graniteMoe, graniteMoeShared } from "./families/granitemoe.ts";
import { graniteMoeHybrid } from "./families/granitemoehybrid.ts";
import { helium } from "./families/helium.ts";
import { hunyuanV1Dense } from "./families/hunyuan_v1_dense.ts";
import { hunyuanV1Moe } from "./families/hunyuan_v1_moe.ts";
import { hyV3 } from "./families/hy_v3.ts";
import { internlm3 } from "./families/internlm3.ts";
import { jamba } from "./families/jamba.ts";
import { jetmoe } from "./families/jetmoe.ts";
import { kimiLinear } from "./families/kimi_linear.ts";
import { lfm2 } from "./families/lfm2.ts";
import { lfm2Moe } from "./families/lfm2_moe.ts";
import { lfm3 } from "./families/lfm3.ts";
import { llama } from "./families/llama.ts";
import { llama4 } from "./families/llama4.ts";
import { longcatFlash } from "./families/longcat_flash.ts";
import { mamba2 } from "./families/mamba2.ts";
import { mimoV2Flash } from "./families/mimo_v2_flash.ts";
import { minicpm3 } from "./families/minicpm3.ts";
import { minimaxM2 } from "./families/minimax_m2.ts";
import { minimaxM3 } from "./families/minimax_m3_vl_text.ts";
import { ministral } from "./families/ministral.ts";
import { ministral3 } from "./families/ministral3.ts";
import { mistral } from "./families/mistral.ts";
import { mixtral } from "./families/mixtral.ts";
import { nanochat } from "./families/nanochat.ts";
import { nemotron } from "./families/nemotron.ts";
import { nemotronH } from "./families/nemotron_h.ts";
import { olmoHybrid } from "./families/olmo_hybrid.ts";
import { olmo2 } from "./families/olmo2.ts";
import { olmo3 } from "./families/olmo3.ts";
import { olmoe } from "./families/olmoe.ts";
import { phi } from "./families/phi.ts";
import { phi3 } from "./families/phi3.ts";
import { phimoe } from "./families/phimoe.ts";
import { qwen2 } from "./families/qwen2.ts";
import { qwen2Moe } from "./families/qwen2_moe.ts";
import { qwen3 } from "./families/qwen3.ts";
import { qwen35 } from "./families/qwen3_5.ts";
import { qwen35Moe } from "./families/qwen3_5_moe.ts";
import { qwen3Moe } from "./families/qwen3_moe.ts";
import { qwen3Next } from "./families/qwen3_next.ts";
import { seedOss } from "./families/seed_oss.ts";
import { smollm3 } from "./families/smollm3.ts";
import { solarOpen } from "./families/solar_open.ts";
import { stablelm } from "./families/stablelm.ts";
import { starcoder2 } from "./families/starcoder2.ts";
import { zamba2 } from "./families/zamba2.ts";

const known: Family[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  qwen3Moe,
  qwen2Moe,
  mixtral,
  olmoe,
  glm4Moe,
  minimaxM2,
  minimaxM3,
  gptOss,
  llama4,
  hunyuanV1Moe,
  afmoe,
  cohere2Moe,
  phimoe,
  graniteMoe,
  graniteMoeShared,
  dots1,
  solarOpen,
  exaoneMoe,
  ernie45Moe,
  hyV3,
  jetmoe,
  phi3,
  granite,
  smollm3,
  olmo2,
  olmo3,
  gemma,
  gemma2,
  gemma3,
  gemma3n,
  gemma4,
  gemma4Unified,
  glm4,
  ernie45,
  seedOss,
  minicpm3,
  deepseekV2,
  deepseekV3,
  kimiK2,
  glm4MoeLite,
  deepseekV32,
  glmMoeDsa,
  longcatFlash,
  mimoV2Flash,
  ministral,
  ministral3,
  exaone4,
  cohere2,
  starcoder2,
  gptNeox,
  phi,
  apertus,
  bitnet,
  lfm2,
  falconH1,
  bamba,
  graniteMoeHybrid,
  nemotronH,
  mamba2,
  jamba,
  zamba2,
  hunyuanV1Dense,
  arcee,
  helium,
  nemotron,
  internlm3,
  glm,
  stablelm,
  graniteSwa,
  nanochat,
  gpt2,
  gptBigcode,
  falcon,
  qwen35,
  qwen35Moe,
  qwen3Next,
  lfm2Moe,
  lfm3,
  olmoHybrid,
  kimiLinear,
  bailingHybrid,
];

export const families: readonly Family[] = known;

/** Adds a family; checkpoints of its model type load from now on. The last one registered for a model type counts. */
export function registerFamily(family: Family): void {
  const index = known.findIndex(({ modelType }) => modelType === family.modelType);
  if (index >= 0) known[index] = family;
  else known.push(family);
}

const MOE = "mixture-of-experts layers with names and fields of their own";
const HYBRID = "hybrid state-space or linear-attention layers of another kind";

/**
 * Unsupported model types that people are likely to try, with what they need. `*` stands for any text. The first row with a
 * pattern that fits counts.
 */
export const unsupportedTypes: readonly (readonly [patterns: readonly string[], what: string])[] = [
  [["kimi_k25*", "kimi_vl*", "deepseek_vl_v2*"], "image or audio inputs"],
  [["deepseek_v4*", "qwen4_exp*"], `several residual streams, an indexer of keys, and ${MOE}`],
  [["minimax*"], `${HYBRID} and ${MOE}`],
  [["mamba", "falcon_mamba*", "zamba", "recurrent_gemma*", "rwkv*"], HYBRID],
  [["*moe*", "dbrx*", "arctic*", "grok*"], MOE],
  [
    ["gpt_neo", "opt*", "gpt_neox_japanese", "gptj*", "codegen*", "stablelm_*", "persimmon*", "falcon_*"],
    "tensor names and config fields of its own",
  ],
  [["bloom*", "mpt*"], "ALiBi positions instead of rope"],
  [["cohere"], "norms of the heads of q and k in one tensor"],
  [["olmo*"], "LayerNorm without weights, and limits of q, k and v"],
  [["chatglm*"], "the tensor names and config fields of older GLM models"],
  [
    ["bert*", "roberta*", "distilbert*", "modernbert*", "electra*", "xlm*"],
    "a decoder: this is an encoder, which has no KV cache",
  ],
  [["t5*", "mt5*", "bart*", "whisper*", "marian*", "pegasus*"], "an encoder-decoder with cross-attention"],
  [
    [
      ...["*_vl*", "*vision*", "*llava*", "*mllama*", "*pixtral*", "*idefics*", "*paligemma*", "*internvl*"],
      ...["*audio*", "*omni*"],
    ],
    "image or audio inputs",
  ],
];

function fits(pattern: string, modelType: string): boolean {
  const text = pattern.replaceAll("*", "");
  if (pattern.startsWith("*")) return modelType.includes(text);
  return pattern.endsWith("*") ? modelType.startsWith(text) : modelType === text;
}

/** What an unsupported model type would need; undefined for a type without an entry. */
export function requirementsOf(modelType: string): string | undefined {
  return unsupportedTypes.find(([patterns]) => patterns.some((pattern) => fits(pattern, modelType)))?.[1];
}

/** Model types with image or sound inputs whose text model is of a type of its own, in `text_config`; by default of this one. */
const wrappers: Readonly<Record<string, string>> = {
  mistral3: "mistral",
  llama4: "llama4_text",
  gemma3: "gemma3_text",
  qwen3_5: "qwen3_5_text",
  qwen3_5_moe: "qwen3_5_moe_text",
  gemma3n: "gemma3n_text",
  gemma4: "gemma4_text",
  gemma4_unified: "gemma4_unified_text",
  minimax_m3_vl: "minimax_m3_vl_text",
};

/** Model types whose config.json `parseModelConfig` takes. */
export const supportedTypes = (): string[] => [...known.map(({ modelType }) => modelType), ...Object.keys(wrappers)];

/** The config of the text model: the file itself, or a part of it. */
export function textModelOf(config: ConfigFields): { readonly config: ConfigFields; readonly modelType: string } {
  const modelType = config.string("model_type");
  const own = Object.hasOwn(wrappers, modelType) ? wrappers[modelType] : undefined;
  if (own === undefined) return { config, modelType };
  const text = config.object("text_config");
  if (!text) throw config.invalid("text_config", "the config of the text model");
  return { config: text, modelType: text.string("model_type", own) };
}

/** @throws TurboQuantError unsupported — names what the model type would need, and the types that are supported */
export function familyOf(modelType: string, file: string): Family {
  const family = families.find((candidate) => candidate.modelType === modelType);
  if (family) return family;
  const what = requirementsOf(modelType);
  const supported = supportedTypes();
  throw new TurboQuantError(
    "unsupported",
    `${file}: model_type: expected one of ${supported.join(", ")}, got "${modelType.slice(0, 60)}"${what ? `, which is known and not yet supported: it needs ${what}` : ""}; use a checkpoint of a supported type`,
    { file, modelType, missing: what ?? null, supported },
  );
}
