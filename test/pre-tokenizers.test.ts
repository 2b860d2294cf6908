/** @file How GGUF files of byte-level vocabularies are cut by the pre-tokenizer that they name. */
import { expect, it } from "vitest";
import { Metadata } from "../src/formats/gguf/metadata.ts";
import { tokenizerFiles } from "../src/formats/gguf/tokenizer-json.ts";
import { MemorySource } from "../src/formats/index.ts";
import { PRE_TOKENIZERS, preTokenizerJson } from "../src/formats/pre-tokenizers.ts";
import { loadTokenizer } from "../src/tokenizer/index.ts";
import { makePreTokenizer } from "../src/tokenizer/pipeline/pre-tokenizers.ts";

/** The whole pieces of a text: every one is a token of its own, made by merges from the left. */
const TOKENS = ["a", "b", "!", "1", "2", "Ġ", "<s>", "ab", "!!", "12", "121", "ab!", "!a", "a", "Ġ!", "Ġ1"];

async function load(pre: string | null) {
  const values = new Map<string, number | string | number[] | string[]>([
    ["general.architecture", "llama"],
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.tokens", TOKENS],
    ["tokenizer.ggml.merges", ["Ġ !", "Ġ 1", "a b", "! !", "1 2", "12 1", "ab !", "! a"]],
    ["tokenizer.ggml.token_type", TOKENS.map((token) => (token === "<s>" ? 3 : 1))],
    ["tokenizer.ggml.bos_token_id", 6],
  ]);
  if (pre !== null) values.set("tokenizer.ggml.pre", pre);
  const { tokenizer } = tokenizerFiles(new Metadata(values, "f"), "f");
  return await loadTokenizer(new MemorySource({ "tokenizer.json": JSON.stringify(tokenizer) }));
}

it.each<[string | null, string[]]>([
  ["gpt-2", ["ab", "!!", "12", "12", "Ġ!", "a", "Ġ1"]],
  ["command-r", ["ab", "!!", "1", "2", "1", "2", "Ġ!", "a", "Ġ", "1"]],
  ["falcon", ["ab", "!!", "121", "2", "Ġ", "!", "a", "Ġ1"]],
  [null, ["ab", "!!", "121", "2", "Ġ", "!", "a", "Ġ", "1"]],
  ["stablelm2", ["ab", "!!", "1", "2", "1", "2", "Ġ!", "a", "Ġ", "1"]],
  ["llama4", ["ab", "!!", "121", "2", "Ġ!", "a", "Ġ", "1"]],
  ["tekken", ["<s>", "ab", "!!", "1", "2", "1", "2", "Ġ!", "a", "Ġ", "1"]],
])("%s", async (pre, pieces) => {
  const tokenizer = await load(pre);
  expect(tokenizer.encode("ab!!1212 !a 1").map((id) => TOKENS[id])).toEqual(pieces);
});

it.each([
  ["deepseek-llm", "I|'|LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!|Ċ|Ċ|ok|ĠĠĠ|Ċ"],
  ["spark2_5", "I|'LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!|Ċ|Ċ|ok|ĠĠĠĊ"],
  ["kimi-k2", "I'LL|Ġeat|Ġa|Bc|/(|123|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["youtu", "I'LL|Ġeat|Ġa|Bc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["tiny_aya", "I'LL|Ġeat|Ġa|Bc|/(|1|234|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["superbpe", "I'LLĠeatĠaBc/(|1|234|)ĠdĠĠ.!ĊĊokĠĠĠĊ"],
  ["bloom", "I'LL|Ġeat|ĠaBc/|(|1234|)|Ġd|ĠĠ.!ĊĊ|ok|ĠĠĠĊ"],
  ["viking", "I'LL|Ġeat|ĠaBc/|(|1|2|3|4|)|Ġd|ĠĠ.!ĊĊ|ok|ĠĠĠĊ"],
  ["seed-coder", "I|'LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!|ĊĊ|ok|ĠĠĠĊ"],
  ["bailingmoe", "I|'LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["exaone-moe", "I|'LL|ĠeatĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!Ċ|Ċ|ok|ĠĠĠĊ"],
  ["minicpm5", "I|'LL|Ġeat|ĠaBc|/(|123|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["jais-2", "I|'LL|Ġeat|ĠaBc|/(|123|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
  ["laguna", "I|'LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!|ĊĊ|ok|ĠĠĠ|Ċ"],
  ["ufakzeka", "I|'LL|Ġeat|ĠaBc|/(|1|2|3|4|)|Ġd|Ġ|Ġ.!ĊĊ|ok|ĠĠĠĊ"],
])("%s cuts as the Rust tokenizers do", (name, pieces) => {
  const cut = makePreTokenizer(preTokenizerJson(PRE_TOKENIZERS[name]!), "pre_tokenizer")!;
  const text = "I'LL eat aBc/(1234) d  .!\n\nok   \n";
  const found = cut({ text, isFirst: true }).map((piece) => piece.text);
  expect(found.join("|")).toBe(pieces);
});

it("decodes every id of a text that several have, and encodes the last", async () => {
  const tokenizer = await load("gpt-2");
  expect(tokenizer.encode("a")).toEqual([13]);
  expect(tokenizer.decode([0, 13])).toBe("aa");
});
