/** @file Builds a tokenizer.json from the older pair vocab.json + merges.txt of byte-level BPE tokenizers. */
import { TurboQuantError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../formats/json-file.ts";

/** How each tokenizer class splits text before BPE, as in the tokenizer.json files of published models. */
const PATTERNS: Readonly<Record<string, { readonly split: string | null; readonly normalizer: object | null }>> = {
  // Digits stay single, contractions are matched in any case, and a word may begin with one character of another kind.
  Qwen2Tokenizer: {
    split:
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    normalizer: { type: "NFC" },
  },
  // The byte-level pre-tokenizer itself applies GPT-2's pattern.
  GPT2Tokenizer: { split: null, normalizer: null },
};

/**
 * vocab: token → id · merges: lines of `left right`, highest priority
 * first, after an optional `#version` line · config: tokenizer_config.json
 * @throws TurboQuantError unsupported — another tokenizer class; invalid_file — malformed entries
 */
export function tokenizerJsonFromMerges(
  vocab: JsonObject,
  merges: string,
  config: JsonObject,
  name: string,
): JsonObject {
  const tokenizerClass = String(config["tokenizer_class"] ?? "Qwen2Tokenizer").replace(/Fast$/, "");
  const kind = Object.hasOwn(PATTERNS, tokenizerClass) ? PATTERNS[tokenizerClass] : undefined;
  if (!kind) {
    throw new TurboQuantError(
      "unsupported",
      `${name}: vocab.json and merges.txt of a ${tokenizerClass}: expected ${Object.keys(PATTERNS).join(" or ")}; save the tokenizer with a recent Transformers to get tokenizer.json`,
      { tokenizerClass },
    );
  }
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isSafeInteger(id) || (id as number) < 0) {
      throw new TurboQuantError(
        "invalid_file",
        `${name}/vocab.json: token ${JSON.stringify(token)}: expected an id, got ${JSON.stringify(id)}; download it again`,
      );
    }
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: config["add_prefix_space"] === true, trim_offsets: false };
  const split = { type: "Split", pattern: { Regex: kind.split }, behavior: "Isolated", invert: false };
  return {
    version: "1.0",
    added_tokens: addedTokens(config, name),
    normalizer: kind.normalizer,
    pre_tokenizer:
      kind.split === null
        ? { ...byteLevel, use_regex: true }
        : { type: "Sequence", pretokenizers: [split, { ...byteLevel, use_regex: false }] },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: parseMerges(merges, name) },
  };
}

function parseMerges(text: string, name: string): string[][] {
  const lines = text.split(/\r?\n/);
  const pairs: string[][] = [];
  for (const [number, line] of lines.entries()) {
    if (line === "" || (number === 0 && line.startsWith("#version"))) continue;
    const pair = line.split(" ");
    if (pair.length !== 2 || pair.includes("")) {
      throw new TurboQuantError(
        "invalid_file",
        `${name}/merges.txt: line ${number + 1}: expected two tokens, got ${JSON.stringify(line.slice(0, 60))}; download it again`,
        { line: number + 1 },
      );
    }
    pairs.push(pair);
  }
  return pairs;
}

function addedTokens(config: JsonObject, name: string): object[] {
  const decoder = config["added_tokens_decoder"] ?? {};
  if (!isJsonObject(decoder)) {
    throw new TurboQuantError(
      "invalid_file",
      `${name}/tokenizer_config.json: added_tokens_decoder: expected an object; download it again`,
    );
  }
  return Object.entries(decoder).map(([id, token]) => {
    if (!/^\d+$/.test(id) || !isJsonObject(token) || typeof token["content"] !== "string") {
      throw new TurboQuantError(
        "invalid_file",
        `${name}/tokenizer_config.json: added_tokens_decoder: expected an id and a token with content, got ${JSON.stringify(id)}; download it again`,
      );
    }
    const flag = (field: string) => token[field] === true;
    return {
      id: Number(id),
      content: token["content"],
      single_word: flag("single_word"),
      lstrip: flag("lstrip"),
      rstrip: flag("rstrip"),
      normalized: flag("normalized"),
      special: flag("special"),
    };
  });
}

/** Texts of bos_token, eos_token and so on, by the names that templates use. */
export function specialTokenTexts(config: JsonObject): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const name of ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"]) {
    const value = config[name];
    const text = isJsonObject(value) ? value["content"] : value;
    if (typeof text === "string") texts[name] = text;
  }
  return texts;
}
