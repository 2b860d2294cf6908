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
const tekken: PreTokenizer = { ...bySplits(casedWords("", "\\p{N}")), ignoresMerges: true };
const gpt4o = bySplits(casedWords(`${CONTRACTIONS}?`, "\\p{N}{1,3}"));
const glm4: PreTokenizer = { ...bySplits(words("\\p{N}{1,3}")), ignoresMerges: true };
const deepseek3 = bySplits(
  "\\p{N}{1,3}",
  "[一-龥\u3040-ゟ゠-ヿ]+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
);

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: gpt2,
  "gpt-2": gpt2,
  "llama-bpe": llama3,
  "llama-v3": llama3,
  llama3,
  qwen2,
  "deepseek-r1-qwen": qwen2,
  qwen35,
  smollm: digitsAlone,
  starcoder: digitsAlone,
  refact: digitsAlone,
  codeshell: digitsAlone,
  tekken,
  "gpt-4o": gpt4o,
  "chatglm-bpe": glm4,
  glm4,
  "deepseek-v3": deepseek3,
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
