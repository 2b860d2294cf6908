/** @file The registry of supported model types, and what unsupported ones would need. */
import { TurboQuantError } from "../errors.ts";
import type { Family } from "./families/family.ts";
import { llama } from "./families/llama.ts";
import { mistral } from "./families/mistral.ts";
import { qwen2 } from "./families/qwen2.ts";
import { qwen3 } from "./families/qwen3.ts";

const known: Family[] = [llama, mistral, qwen2, qwen3];

export const families: readonly Family[] = known;

/** Adds a family; checkpoints of its model type load from now on. The last one registered for a model type counts. */
export function registerFamily(family: Family): void {
  const index = known.findIndex(({ modelType }) => modelType === family.modelType);
  if (index >= 0) known[index] = family;
  else known.push(family);
}

const MOE = "mixture-of-experts layers";
const MLA = "multi-head latent attention (MLA)";
const HYBRID = "hybrid state-space or linear-attention layers";

/**
 * Unsupported model types that people are likely to try, with what they need. `*` stands for any text. The first row with a
 * pattern that fits counts.
 */
export const unsupportedTypes: readonly (readonly [patterns: readonly string[], what: string])[] = [
  [["deepseek_v2*", "deepseek_v3*", "kimi_k2*", "glm_moe_dsa*", "longcat_flash*"], `${MLA} and ${MOE}`],
  [["minicpm3*", "deepseek_vl_v2*"], MLA],
  [
    [
      ...["qwen3_next*", "qwen3_5_moe*", "jamba*", "granitemoehybrid*", "bamba*", "nemotron_h*", "kimi_linear*"],
      ...["lfm2_moe*", "minimax*"],
    ],
    `${HYBRID} and ${MOE}`,
  ],
  [
    [
      ...["mamba*", "falcon_mamba*", "falcon_h1*", "zamba*", "recurrent_gemma*", "rwkv*", "lfm2*", "qwen3_5*"],
      "olmo_hybrid*",
    ],
    HYBRID,
  ],
  [["gpt_oss*"], `${MOE}, attention sinks as weights and biases throughout`],
  [["llama4*"], `${MOE}, layers without rope and chunked attention`],
  [["*moe*", "mixtral*", "dbrx*", "arctic*", "grok*"], MOE],
  [["gemma", "gemma2*"], "scaled embeddings, norms with a unit offset, GELU and (Gemma 2) logit soft-capping"],
  [["gemma*"], "scaled embeddings, norms with a unit offset, GELU and per-layer rope parameters"],
  [["phi3*"], "fused qkv and gate/up weights and longrope"],
  [["phi*"], "LayerNorm, partial rotary embeddings and GELU"],
  [
    ["gpt_neox*", "gptj*", "codegen*", "stablelm*", "persimmon*", "falcon*"],
    "LayerNorm, partial rotary embeddings or a parallel feed-forward",
  ],
  [
    ["gpt2*", "gpt_neo*", "gpt_bigcode*", "opt*", "bloom*", "mpt*"],
    "LayerNorm, GELU and learned or ALiBi positions instead of rope",
  ],
  [["cohere*", "command*"], "LayerNorm without bias, a parallel feed-forward and logit scaling"],
  [["olmo2*", "olmo3*"], "norms after instead of before each block"],
  [["olmo*"], "norms without weights"],
  [["chatglm*", "glm*"], "interleaved partial rotary embeddings and fused gate/up weights"],
  [["granite*"], "multipliers on embeddings, attention, residuals and logits"],
  [["smollm3*"], "layers without rope"],
  [["starcoder2*"], "LayerNorm and GELU"],
  [
    ["bert*", "roberta*", "distilbert*", "modernbert*", "electra*", "xlm*"],
    "a decoder: this is an encoder, which has no KV cache",
  ],
  [["t5*", "mt5*", "bart*", "whisper*", "marian*", "pegasus*"], "an encoder-decoder with cross-attention"],
  [
    [
      ...["*_vl*", "*vision*", "*llava*", "*mllama*", "*pixtral*", "*idefics*", "*paligemma*", "*internvl*"],
      ...["*mistral3*", "*audio*", "*omni*"],
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

/** @throws TurboQuantError unsupported — names what the model type would need, and the types that are supported */
export function familyOf(modelType: string, file: string): Family {
  const family = families.find((candidate) => candidate.modelType === modelType);
  if (family) return family;
  const what = requirementsOf(modelType);
  const supported = families.map((candidate) => candidate.modelType).join(", ");
  throw new TurboQuantError(
    "unsupported",
    `${file}: model_type: expected one of ${supported}, got "${modelType.slice(0, 60)}"${what ? `, which needs ${what}` : ""}; use a checkpoint of a supported type`,
    { file, modelType, missing: what ?? null, supported: families.map((candidate) => candidate.modelType) },
  );
}
