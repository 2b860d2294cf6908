/**
 * @file How byte-level tokenizers cut text before BPE, by their names in GGUF files (`tokenizer.ggml.pre`). The patterns are those of the models' own tokenizer.json files;
 * llama.cpp rewrites some of them for its regex engine, with equal cuts.
 */
import type { JsonObject } from "./json-file.ts";

export interface PreTokenizer {
  readonly normalizer: JsonObject | null;
  /** Steps before bytes become characters; `ByteLevel` with GPT-2's own pattern comes as `byteLevel`. */
  readonly steps: readonly JsonObject[];
  /** Whether GPT-2's pattern cuts what the steps leave. */
  readonly usesByteLevelPattern: boolean;
  /** Whole pieces that are in the vocabulary are tokens, whatever the merges say. */
  readonly ignoresMerges: boolean;
  /** Whether a beginning-of-sequence token is added when the file does not say. */
  readonly addsBos: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Words with one leading character of another kind, digits in groups of up to `digits`, runs of punctuation. */
const words = (digits: string, letters = "\\p{L}", other = "\\p{L}\\p{N}"): string =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?${letters}+|${digits}| ?[^\\s${other}]+[\\r\\n]*|${SPACES}`;

/** Words that begin anew with an upper-case letter after a lower-case one. */
function casedWords(suffix: string, digits: string): string {
  const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
  const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
  const lead = "[^\\r\\n\\p{L}\\p{N}]?";
  return `${lead}${upper}*${lower}+${suffix}|${lead}${upper}+${lower}*${suffix}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
}

const split = (regex: string, behavior = "Isolated"): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior,
  invert: false,
});

const plain: PreTokenizer = {
  normalizer: null,
  steps: [],
  usesByteLevelPattern: true,
  ignoresMerges: false,
  addsBos: false,
};
const bySplits = (...patterns: string[]): PreTokenizer => ({
  ...plain,
  steps: patterns.map((pattern) => split(pattern)),
  usesByteLevelPattern: false,
});

const gpt2 = plain;
const digitsAlone: PreTokenizer = { ...plain, steps: [{ type: "Digits", individual_digits: true }] };
const llama3: PreTokenizer = { ...bySplits(words("\\p{N}{1,3}")), ignoresMerges: true, addsBos: true };
const qwen2: PreTokenizer = { ...bySplits(words("\\p{N}")), normalizer: { type: "NFC" } };
const qwen35: PreTokenizer = {
  ...bySplits(words("\\p{N}", "[\\p{L}\\p{M}]", "\\p{L}\\p{M}\\p{N}")),
  normalizer: { type: "NFC" },
};
const tekken: PreTokenizer = { ...bySplits(casedWords("", "\\p{N}")), ignoresMerges: true, addsBos: true };
/** As qwen2 and llama3 without what else these do. */
const words1 = bySplits(words("\\p{N}"));
const words3 = bySplits(words("\\p{N}{1,3}"));
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const falcon = bySplits("[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]");
/** What llama.cpp takes for files that name none, as files of 2023 and early 2024 do. */
const unnamed = bySplits("[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]");
const deepseekCoder = bySplits("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥\u0800-一가-\ud7ff]+", "\\p{N}");
/** Letters that have cases, of Unicode 11 and without some scripts, as the model's file lists them. */
const CASED =
  "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c" +
  "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a" +
  "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3" +
  "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149" +
  "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17" +
  "\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";
const deepseekLlm = bySplits(
  "[\\r\\n]",
  `\\s?[${CASED}]+`,
  "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
  "\\s+$",
  "[一-龥\u0800-一가-\ud7ff]+",
  "\\p{N}",
);
const gpt4o = bySplits(casedWords(`${CONTRACTIONS}?`, "\\p{N}{1,3}"));
const glm4: PreTokenizer = { ...bySplits(words("\\p{N}{1,3}")), ignoresMerges: true };
const DEEPSEEK_WORDS =
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const deepseek3 = bySplits("\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK_WORDS);

/** Digits in groups of three from the right, and scripts without spaces by themselves; the rest as in DeepSeek-V3. */
const afmoe = bySplits(
  "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
  "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f" +
    "\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
  DEEPSEEK_WORDS,
);
const spark = bySplits(
  "\\p{N}{1,3}",
  "[一-龥\u3040-ゟ゠-ヿ]+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+",
  "\\p{N}",
);
/** Han by itself; words and punctuation as gpt-4o has them, without Han. */
const kimi = bySplits(
  `[\\p{Han}]+|${casedWords(`${CONTRACTIONS}?`, "\\p{N}{1,3}")
    .replaceAll("\\p{M}]", "\\p{M}&&[^\\p{Han}]]")
    .replace("[\\r\\n/]*", "[\\r\\n]*")}`,
);
const youtu: PreTokenizer = {
  ...bySplits(
    "[가-힣ㄱ-\u318e]+|[！…“”‘’—：；，\u3001-\u303f\ufe30-\ufe4f]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
    casedWords(`${CONTRACTIONS}?`, "\\p{N}"),
  ),
  ignoresMerges: true,
};
/** Digits in groups of three from the right. */
const tinyAya = bySplits("\\d{1,3}(?=(?:\\d{3})*\\b)", casedWords(`${CONTRACTIONS}?`, "\\p{N}{1,3}"));
const superBpe = bySplits("\\p{N}+", "(?=(\\d{3})+(?!\\d))");
const BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+";
const bloom = bySplits(BLOOM);
const viking = bySplits(BLOOM, "\\p{N}");
const seedCoder = bySplits(
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`,
);
const bailing = bySplits(
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
);
const exaoneMoe = bySplits(
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
);
const minicpm5: PreTokenizer = { ...bySplits("\\p{N}{1,3}", words("\\p{N}+")), ignoresMerges: true };
/** Spaces in runs of powers of two. */
const jais2 = bySplits(
  words("\\p{N}{1,3}").replace(
    "\\s+(?!\\S)|\\s+",
    `${[512, 256, 128, 64, 32, 16, 8, 4, "1,2"].map((count) => `\\s{${count}}(?!\\S)`).join("|")}|\\s{1}`,
  ),
);
const laguna = bySplits("[^\\n]+|[\\n]+", words("\\p{N}"));
const ufakzeka = bySplits(words("\\p{N}").replace(`${CONTRACTIONS}|`, ""));

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: unnamed,
  "gpt-2": gpt2,
  "phi-2": gpt2,
  mpt: gpt2,
  olmo: gpt2,
  jais: gpt2,
  gigachat: gpt2,
  mellum: gpt2,
  "a.x-4.0": gpt2,
  exaone4: gpt2,
  trillion: gpt2,
  "granite-docling": gpt2,
  "modern-bert": gpt2,
  "llama-bpe": llama3,
  "llama-v3": llama3,
  llama3,
  falcon3: llama3,
  "falcon-h1": llama3,
  pixtral: llama3,
  lfm2: llama3,
  "midm-2.0": llama3,
  "smaug-bpe": words3,
  dbrx: words3,
  qwen2,
  megrez: qwen2,
  stablelm2: words1,
  hunyuan: words1,
  "grok-2": words1,
  "solar-open": words1,
  "deepseek-r1-qwen": qwen2,
  kormo: qwen2,
  f2llmv2: qwen2,
  qwen35,
  falcon,
  smollm: digitsAlone,
  "command-r": digitsAlone,
  exaone: digitsAlone,
  "minerva-7b": digitsAlone,
  mellum2: digitsAlone,
  starcoder: digitsAlone,
  refact: digitsAlone,
  codeshell: digitsAlone,
  tekken,
  "gpt-4o": gpt4o,
  llama4: gpt4o,
  kanana2: gpt4o,
  talkie: gpt4o,
  "minimax-m2": gpt4o,
  "chatglm-bpe": glm4,
  glm4,
  glm5: glm4,
  "deepseek-v3": deepseek3,
  "hunyuan-dense": deepseek3,
  "joyai-llm": deepseek3,
  hy_v4: deepseek3,
  afmoe,
  spark2_5: spark,
  "deepseek-llm": deepseekLlm,
  "deepseek-coder": deepseekCoder,
  "kimi-k2": kimi,
  youtu,
  tiny_aya: tinyAya,
  cohere2moe: tinyAya,
  superbpe: superBpe,
  bloom,
  "poro-chat": bloom,
  "gpt3-finnish": bloom,
  viking,
  "seed-coder": seedCoder,
  bailingmoe: bailing,
  bailingmoe2: bailing,
  "llada-moe": bailing,
  "exaone-moe": exaoneMoe,
  minicpm5,
  "jais-2": jais2,
  laguna,
  ufakzeka,
};

/** The `pre_tokenizer` of a tokenizer.json. */
export function preTokenizerJson({ steps, usesByteLevelPattern }: PreTokenizer, addsPrefixSpace = false): JsonObject {
  const bytes = {
    type: "ByteLevel",
    add_prefix_space: addsPrefixSpace,
    trim_offsets: false,
    use_regex: usesByteLevelPattern,
  };
  return steps.length > 0 ? { type: "Sequence", pretokenizers: [...steps, bytes] } : bytes;
}
