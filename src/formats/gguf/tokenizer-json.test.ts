/** @file Vocabularies of GGUF files that say less, more or other things than most. */
import { expect, it } from "vitest";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";
import { MemorySource } from "../memory-source.ts";
import type { GgufValue } from "./cursor.ts";
import { Metadata } from "./metadata.ts";
import { tokenizerFiles } from "./tokenizer-json.ts";

async function read(keys: Record<string, GgufValue>) {
  const own = Object.entries(keys).map(([key, value]) => [`tokenizer.${key}`, value] as const);
  const metadata = new Metadata(new Map([["general.architecture", "llama"], ...own]), "m.gguf");
  const { tokenizer, config, generation } = tokenizerFiles(metadata, "m.gguf");
  const files = { "tokenizer.json": JSON.stringify(tokenizer), "tokenizer_config.json": JSON.stringify(config) };
  return { tokenizer: await loadTokenizer(new MemorySource(files, "m.gguf")), ends: generation["eos_token_id"] };
}

const bytes = (tokens: string[], types: number[], more: Record<string, GgufValue> = {}) =>
  read({ "ggml.model": "gpt2", "ggml.tokens": tokens, "ggml.token_type": types, "ggml.merges": [], ...more });

const PIECES = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab", "\ufeff"];
const pieces = (more: Record<string, GgufValue> = {}) =>
  read({
    "ggml.model": "llama",
    "ggml.tokens": PIECES,
    "ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1, 1],
    "ggml.scores": [0, 0, 0, -1, -2, -3, -4, -5, -6],
    ...more,
  });

it("a SentencePiece file that names no tokens has them where SentencePiece puts them", async () => {
  const { tokenizer, ends } = await pieces();
  expect(tokenizer.encode("ab")).toEqual([1, 6, 5]);
  expect(ends).toEqual([2]);
  expect((await pieces({ "ggml.add_bos_token": false })).tokenizer.encode("a")).toEqual([6]);
});

it("U+FEFF is a token like others, and <unk> in a text is the token", async () => {
  const { tokenizer } = await pieces();
  expect(tokenizer.encode("a\ufeff")).toEqual([1, 6, 8]);
  expect(tokenizer.decode([8])).toBe("\ufeff");
  expect(tokenizer.encode("<unk>a")).toEqual([1, 0, 6]);
});

it("scores and types may be more than the tokens, and scores are numbers", async () => {
  const more = {
    "ggml.scores": [0, 0, 0, -1, -2, -3, -4, -5, -6, 7],
    "ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  };
  expect((await pieces(more)).tokenizer.encode("ab")).toEqual([1, 6, 5]);
  await expect(pieces({ "ggml.scores": PIECES.map(() => Number.NaN) })).rejects.toThrow(/scores: expected a list of 9/);
  await expect(pieces({ "ggml.scores": [1] })).rejects.toThrow(/tokenizer\.ggml\.scores: expected a list of 9 numbers/);
});

it("of equal scores the leftmost pair is merged first; without scores all are equal", async () => {
  const tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "ba"];
  const keys = { "ggml.model": "llama", "ggml.tokens": tokens, "ggml.add_space_prefix": false };
  const types = { "ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1] };
  const equal = await read({ ...keys, ...types, "ggml.scores": tokens.map(() => -1) });
  expect(equal.tokenizer.encode("bab")).toEqual([1, 7, 5]);
  expect((await read({ ...keys, ...types })).tokenizer.encode("bab")).toEqual([1, 7, 5]);
  const falling = await read({ ...keys, ...types, "ggml.scores": [0, 0, 0, -9, -9, -9, -1, -2] });
  expect(falling.tokenizer.encode("bab")).toEqual([1, 5, 6]);
});

it("a token that a user defined is also what others merge to", async () => {
  const tokens = ["<unk>", "<s>", "</s>", "▁", "a", "▁▁"];
  const { tokenizer } = await read({
    ...{ "ggml.model": "llama", "ggml.tokens": tokens, "ggml.add_space_prefix": false },
    ...{ "ggml.token_type": [2, 3, 3, 1, 1, 4], "ggml.scores": tokens.map(() => -1) },
  });
  expect(tokenizer.encode("a  a")).toEqual([1, 4, 5, 4]);
});

it("the largest number of 32 bits is no token; padding of another vocabulary does not matter, an end of text does", async () => {
  const none = { "ggml.eos_token_id": 2 ** 32 - 1, "ggml.bos_token_id": -1, "ggml.padding_token_id": 77 };
  expect((await bytes(["a", "b", "<end>"], [1, 1, 3], none)).ends).toEqual([]);
  await expect(bytes(["a", "b"], [1, 1], { "ggml.eos_token_id": 77 })).rejects.toThrow(/eos_token_id: .*got 77/);
});

it("a merge of a token that is not there is left out", async () => {
  const { tokenizer } = await bytes(["a", "b", "ab"], [1, 1, 1], { "ggml.merges": ["b a", "x y", "a b"] });
  expect(tokenizer.encode("abab")).toEqual([2, 2]);
});

it("an empty token is found nowhere, and an empty template is none", async () => {
  const { tokenizer } = await bytes(["a", "", "<end>"], [1, 4, 3], { chat_template: "" });
  expect(tokenizer.encode("aa")).toEqual([0, 0]);
  expect(tokenizer.chatTemplate).toBeNull();
});

it("tokens that end a turn do so by their names, and are control tokens whatever the file calls them", async () => {
  const { tokenizer, ends } = await bytes(["a", "<|im_end|>", "</s>", "<EOT>", "<|eom_id|>"], [1, 1, 1, 3, 4]);
  expect(ends).toEqual([1, 3, 4]);
  expect(tokenizer.encode("a<|im_end|>")).toEqual([0, 1]);
  expect(tokenizer.isSpecial(1)).toBe(true);
});

it("the end of a message is not the end of an answer where there are ends of answers beside it", async () => {
  expect((await bytes(["<|end|>", "<|return|>", "<|call|>"], [3, 3, 3])).ends).toEqual([1, 2]);
  expect((await bytes(["<|end|>", "<|flush|>", "<|calls|>"], [3, 3, 3])).ends).toEqual([1, 2]);
  expect((await bytes(["<|end|>", "<|call|>"], [3, 3])).ends).toEqual([0, 1]);
  expect((await bytes(["</s>", "<|tool_response>"], [3, 3])).ends).toEqual([1]);
});

it("a coder's padding, repository and file end an answer, by their keys and by their names", async () => {
  const keys = { "ggml.fim_pad_token_id": 1, "ggml.fim_rep_token_id": 2, "ggml.fim_sep_token_id": 3 };
  expect((await bytes(["a", "<p>", "<r>", "<f>"], [1, 3, 3, 3], keys)).ends).toEqual([1, 2, 3]);
  expect((await bytes(["a", "b"], [1, 1], { "ggml.eos_token_id": 0, "ggml.eos_token_ids": [1, 77] })).ends).toEqual([
    0, 1,
  ]);
  expect((await bytes(["a", "<fim_pad>", "<reponame>", "<PAD>"], [1, 3, 1, 3])).ends).toEqual([1, 3]);
});

it("a template that is the name of one", async () => {
  const { tokenizer } = await bytes(["a"], [1], { chat_template: "chatml" });
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
  ] as const;
  expect(await tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })).toBe(
    "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\n",
  );
  const unknown = (await bytes(["a"], [1], { chat_template: "gargoyle-7" })).tokenizer;
  await expect(unknown.applyChatTemplate(messages)).rejects.toThrow(
    /tokenizer\.chat_template: expected .*chatml.*gargoyle-7/,
  );
  const tools = (await bytes(["a"], [1], { "chat_template.tool_use": "for tools" })).tokenizer;
  expect(await tools.applyChatTemplate(messages)).toBe("for tools");
});

it("pieces with merges, as Gemma 4 has them: spaces are a character, bytes stand for what is missing, and text begins with bos", async () => {
  const tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "a", "b", "ab", "▁ab", "<0xC3>", "<0xA9>"];
  const { tokenizer } = await read({
    ...{ "ggml.model": "gemma4", "ggml.tokens": tokens, "ggml.token_type": [3, 3, 3, 2, 1, 1, 1, 1, 1, 6, 6] },
    ...{ "ggml.merges": ["a b", "▁ ab"], "ggml.bos_token_id": 2, "ggml.eos_token_id": 1 },
    ...{ "ggml.unknown_token_id": 3, "ggml.add_bos_token": false },
  });
  expect(tokenizer.encode("ab ab é")).toEqual([2, 7, 8, 4, 9, 10]);
  expect(tokenizer.decode([7, 8, 4, 9, 10])).toBe("ab ab é");
});

it("control tokens of Phi 3 take the spaces behind them, but for three", async () => {
  const tokens = ["<unk>", "<s>", "</s>", "▁", "a", "\n", "▁a", "<|user|>", "<|placeholder1|>", "<|endoftext|>"];
  const { tokenizer } = await read({
    ...{ "ggml.model": "llama", "ggml.tokens": tokens, "ggml.add_bos_token": false, "ggml.add_space_prefix": false },
    ...{ "ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 3, 3, 3], "ggml.scores": tokens.map(() => -1) },
  });
  expect(tokenizer.encode("<|user|>\n a<|endoftext|> a")).toEqual([7, 4, 9, 6]);
});

it("a token of a million characters takes no longer than its text", async () => {
  const tokens = ["<unk>", "<s>", "</s>", "a", "aa", "a".repeat(1_000_000)];
  const { tokenizer } = await read({ "ggml.model": "llama", "ggml.tokens": tokens, "ggml.add_space_prefix": false });
  expect(tokenizer.encode("aaa")).toEqual([1, 4, 3]);
}, 2000);
