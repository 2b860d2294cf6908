/** @file Builds a tokenizer.json from the older pair vocab.json + merges.txt of byte-level BPE tokenizers. */
import { TurboQuantError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../formats/json-file.ts";
import { PRE_TOKENIZERS, type PreTokenizer, preTokenizerJson } from "../formats/pre-tokenizers.ts";

/** How the tokenizer classes cut text. */
const CLASSES: Readonly<Record<string, PreTokenizer>> = {
  Qwen2Tokenizer: PRE_TOKENIZERS["qwen2"]!,
  GPT2Tokenizer: PRE_TOKENIZERS["gpt-2"]!,
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
  const kind = Object.hasOwn(CLASSES, tokenizerClass) ? CLASSES[tokenizerClass] : undefined;
  if (!kind) {
    throw new TurboQuantError(
      "unsupported",
      `${name}: vocab.json and merges.txt of a ${tokenizerClass}: expected ${Object.keys(CLASSES).join(" or ")}; save the tokenizer with a recent Transformers to get tokenizer.json`,
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
  return {
    version: "1.0",
    added_tokens: addedTokens(config, name),
    normalizer: kind.normalizer,
    pre_tokenizer: preTokenizerJson(kind, config["add_prefix_space"] === true),
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
