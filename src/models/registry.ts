/** @file The registry of supported model types, and what unsupported ones would need. */
import { TurboQuantError } from "../errors.ts";
import type { ConfigFields } from "./config-fields.ts";
import { lfm2 } from "./families/convolution/lfm2.ts";
import { lfm2Moe } from "./families/convolution/lfm2_moe.ts";
import { lfm3 } from "./families/convolution/lfm3.ts";
import { bailingHybrid } from "./families/delta-net/bailing_hybrid.ts";
import { kimiLinear } from "./families/delta-net/kimi_linear.ts";
import { olmoHybrid } from "./families/delta-net/olmo_hybrid.ts";
import { qwen35 } from "./families/delta-net/qwen3_5.ts";
import { qwen35Moe } from "./families/delta-net/qwen3_5_moe.ts";
import { qwen3Next } from "./families/delta-net/qwen3_next.ts";
import { qwen4Exp } from "./families/delta-net/qwen4_exp.ts";
import { apertus } from "./families/dense/apertus.ts";
import { arcee } from "./families/dense/arcee.ts";
import { bitnet } from "./families/dense/bitnet.ts";
import { cohere } from "./families/dense/cohere.ts";
import { cohere2 } from "./families/dense/cohere2.ts";
import { ernie45 } from "./families/dense/ernie4_5.ts";
import { exaone4 } from "./families/dense/exaone4.ts";
import { falcon } from "./families/dense/falcon.ts";
import { glm } from "./families/dense/glm.ts";
import { glm4 } from "./families/dense/glm4.ts";
import { gptBigcode } from "./families/dense/gpt_bigcode.ts";
import { gptNeox } from "./families/dense/gpt_neox.ts";
import { gpt2 } from "./families/dense/gpt2.ts";
import { granite } from "./families/dense/granite.ts";
import { graniteSwa } from "./families/dense/granite_swa.ts";
import { helium } from "./families/dense/helium.ts";
import { hunyuanV1Dense } from "./families/dense/hunyuan_v1_dense.ts";
import { internlm3 } from "./families/dense/internlm3.ts";
import { llama } from "./families/dense/llama.ts";
import { ministral } from "./families/dense/ministral.ts";
import { ministral3 } from "./families/dense/ministral3.ts";
import { mistral } from "./families/dense/mistral.ts";
import { nanochat } from "./families/dense/nanochat.ts";
import { nemotron } from "./families/dense/nemotron.ts";
import { olmo2 } from "./families/dense/olmo2.ts";
import { olmo3 } from "./families/dense/olmo3.ts";
import { phi } from "./families/dense/phi.ts";
import { phi3 } from "./families/dense/phi3.ts";
import { qwen2 } from "./families/dense/qwen2.ts";
import { qwen3 } from "./families/dense/qwen3.ts";
import { seedOss } from "./families/dense/seed_oss.ts";
import { smollm3 } from "./families/dense/smollm3.ts";
import { stablelm } from "./families/dense/stablelm.ts";
import { starcoder2 } from "./families/dense/starcoder2.ts";
import { afmoe } from "./families/experts/afmoe.ts";
import { cohere2Moe } from "./families/experts/cohere2_moe.ts";
import { dots1 } from "./families/experts/dots1.ts";
import { ernie45Moe } from "./families/experts/ernie4_5_moe.ts";
import { exaoneMoe } from "./families/experts/exaone_moe.ts";
import { glm4Moe } from "./families/experts/glm4_moe.ts";
import { gptOss } from "./families/experts/gpt_oss.ts";
import { graniteMoe, graniteMoeShared } from "./families/experts/granitemoe.ts";
import { hunyuanV1Moe } from "./families/experts/hunyuan_v1_moe.ts";
import { hyV3 } from "./families/experts/hy_v3.ts";
import { jetmoe } from "./families/experts/jetmoe.ts";
import { llama4 } from "./families/experts/llama4.ts";
import { mimoV2Flash } from "./families/experts/mimo_v2_flash.ts";
import { minimaxM2 } from "./families/experts/minimax_m2.ts";
import { mixtral } from "./families/experts/mixtral.ts";
import { olmoe } from "./families/experts/olmoe.ts";
import { phimoe } from "./families/experts/phimoe.ts";
import { qwen2Moe } from "./families/experts/qwen2_moe.ts";
import { qwen3Moe } from "./families/experts/qwen3_moe.ts";
import { solarOpen } from "./families/experts/solar_open.ts";
import type { Family } from "./families/family.ts";
import { gemma } from "./families/gemma/gemma.ts";
import { gemma2 } from "./families/gemma/gemma2.ts";
import { gemma3 } from "./families/gemma/gemma3.ts";
import { gemma3n } from "./families/gemma/gemma3n.ts";
import { gemma4, gemma4Unified } from "./families/gemma/gemma4.ts";
import { deepseekV4 } from "./families/indexed/deepseek_v4.ts";
import { deepseekV32 } from "./families/indexed/deepseek_v32.ts";
import { glmMoeDsa } from "./families/indexed/glm_moe_dsa.ts";
import { minimaxM3 } from "./families/indexed/minimax_m3_vl_text.ts";
import { deepseekV2 } from "./families/latent/deepseek_v2.ts";
import { deepseekV3, kimiK2 } from "./families/latent/deepseek_v3.ts";
import { glm4MoeLite } from "./families/latent/glm4_moe_lite.ts";
import { longcatFlash } from "./families/latent/longcat_flash.ts";
import { minicpm3 } from "./families/latent/minicpm3.ts";
import { bamba } from "./families/state-space/bamba.ts";
import { falconH1 } from "./families/state-space/falcon_h1.ts";
import { graniteMoeHybrid } from "./families/state-space/granitemoehybrid.ts";
import { jamba } from "./families/state-space/jamba.ts";
import { mamba2 } from "./families/state-space/mamba2.ts";
import { nemotronH } from "./families/state-space/nemotron_h.ts";
import { zamba2 } from "./families/state-space/zamba2.ts";

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
  deepseekV4,
  longcatFlash,
  mimoV2Flash,
  ministral,
  ministral3,
  exaone4,
  cohere,
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
  qwen4Exp,
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
  [["minimax*"], `${HYBRID} and ${MOE}`],
  [["mamba", "falcon_mamba*", "zamba", "recurrent_gemma*", "rwkv*"], HYBRID],
  [["*moe*", "dbrx*", "arctic*", "grok*"], MOE],
  [
    ["gpt_neo", "opt*", "gpt_neox_japanese", "gptj*", "codegen*", "stablelm_*", "persimmon*", "falcon_*"],
    "tensor names and config fields of its own",
  ],
  [["bloom*", "mpt*"], "ALiBi positions instead of rope"],
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
  [
    ["clip*", "siglip*", "vit*", "deit*", "dino*", "swin*", "convnext*", "wav2vec*", "hubert*"],
    "a text model: this is one of images or sounds alone",
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
  qwen4_exp: "qwen4_exp_text",
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
