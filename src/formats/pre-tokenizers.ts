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
const gpt4o = bySplits(casedWords(`${CONTRACTIONS}?`, "\\p{N}{1,3}"));
const glm4: PreTokenizer = { ...bySplits(words("\\p{N}{1,3}")), ignoresMerges: true };
const deepseek3 = bySplits(
  "\\p{N}{1,3}",
  "[一-龥\u3040-ゟ゠-ヿ]+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
);

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: unnamed,
  "gpt-2": gpt2,
  "phi-2": gpt2,
  mpt: gpt2,
  olmo: gpt2,
  jais: gpt2,
  gigachat: gpt2,
  mellum: gpt2,
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
  "minimax-m2": gpt4o,
  "chatglm-bpe": glm4,
  glm4,
  "deepseek-v3": deepseek3,
  "hunyuan-dense": deepseek3,
  "joyai-llm": deepseek3,
  "deepseek-coder": deepseekCoder,
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
