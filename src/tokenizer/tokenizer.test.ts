import { describe, expect, it } from "vitest";
import { MemorySource } from "../formats/memory-source.ts";
import { loadTokenizer } from "./tokenizer.ts";

/** GPT-2's printable stand-ins for the 256 bytes, so that a vocabulary of bytes can be written as JSON. */
const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
const standIns = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();
const vocab: Record<string, number> = Object.fromEntries(
  [...standIns, "he", "ll", "hell", "Ġw"].map((token, id) => [token, id]),
);
const merges = "#version: 0.2\nh e\nl l\nhe ll\nĠ w\n";
const added = (content: string, special: boolean) => ({
  content,
  special,
  lstrip: false,
  rstrip: false,
  single_word: false,
  normalized: false,
});
const config = {
  tokenizer_class: "Qwen2Tokenizer",
  added_tokens_decoder: { 260: added("<|end|>", true), 261: added("<think>", false), 300: added("<|pad|>", true) },
  eos_token: { content: "<|end|>" },
  bos_token: null,
  chat_template: "{{ messages[0].content }}{{ eos_token }}{{ bos_token }}",
};
const files = (over: Record<string, string | undefined> = {}) => {
  const all = {
    "vocab.json": JSON.stringify(vocab),
    "merges.txt": merges,
    "tokenizer_config.json": JSON.stringify(config),
    ...over,
  };
  return new MemorySource(
    Object.fromEntries(Object.entries(all).filter(([, text]) => text !== undefined)) as Record<string, string>,
    "m",
  );
};

describe("loadTokenizer", () => {
  it("works from vocab.json and merges.txt", async () => {
    const tokenizer = await loadTokenizer(files());
    const h = "h".codePointAt(0)!;
    expect(tokenizer.vocabSize).toBe(301);
    expect(tokenizer.encode("hello w")).toEqual([258, 111, 259]);
    expect(tokenizer.encode("12")).toEqual([49, 50]);
    // Qwen normalizes to NFC: e and a combining acute become one character of two bytes.
    expect(tokenizer.encode("e\u0301")).toEqual([0xc3, 0xa9]);
    expect(tokenizer.encode("")).toEqual([]);
    expect(tokenizer.encode("h<|end|>h<think>")).toEqual([h, 260, h, 261]);
    expect(tokenizer.tokenId("<|end|>")).toBe(260);
    expect(tokenizer.tokenId("hell")).toBe(258);
    expect(tokenizer.tokenId("none")).toBeUndefined();
    expect(tokenizer.isSpecial(260)).toBe(true);
    expect(tokenizer.isSpecial(261)).toBe(false);
  });

  it("decodes back, with or without special tokens, and ignores ids without text", async () => {
    const tokenizer = await loadTokenizer(files());
    const text = "hello wörld 🦙 , . 's\n\n  x";
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.decode([104, 260, 261, 280, 99_999, 105])).toBe("h<|end|><think>i");
    expect(tokenizer.decode(Int32Array.of(104, 260, 261, 105), { skipSpecialTokens: true })).toBe("h<think>i");
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([260], { skipSpecialTokens: true })).toBe("");
  });

  it("streams text by whole characters and leaves special tokens out by default", async () => {
    const tokenizer = await loadTokenizer(files());
    const ids = [...tokenizer.encode("é🦙"), 260, 104];
    const pieces = (options = {}) => {
      const stream = tokenizer.createStream(options);
      return [...ids.map((id) => stream.push(id)), stream.end()];
    };
    expect(pieces()).toEqual(["", "é", "", "", "", "🦙", "", "h", ""]);
    expect(pieces({ skipSpecialTokens: false })).toEqual(["", "é", "", "", "", "🦙", "<|end|>", "h", ""]);
  });

  it("finds the chat template and prefers chat_template.jinja", async () => {
    const messages = [{ role: "user", content: "hi" }];
    expect(await (await loadTokenizer(files())).applyChatTemplate(messages)).toBe("hi<|end|>");
    const own = files({ "chat_template.jinja": "own {{ messages[0].role }}" });
    expect(await (await loadTokenizer(own)).applyChatTemplate(messages)).toBe("own user");
    const base = await loadTokenizer(files({ "tokenizer_config.json": undefined }));
    expect(base.chatTemplate).toBeNull();
    await expect(base.applyChatTemplate(messages)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("no chat template"),
    });
  });

  it("reads special tokens of special_tokens_map.json and templates of files beside it", async () => {
    const ask = [{ role: "user", content: "hi" }];
    const named = files({
      "tokenizer_config.json": JSON.stringify({
        chat_template: "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
      }),
      "special_tokens_map.json": JSON.stringify({ bos_token: "<s>", eos_token: { content: "</s>" } }),
    });
    expect(await (await loadTokenizer(named)).applyChatTemplate(ask)).toBe("<s>hi</s>");
    const older = files({ "tokenizer_config.json": undefined, "chat_template.json": '{"chat_template": "old"}' });
    expect(await (await loadTokenizer(older)).applyChatTemplate(ask)).toBe("old");
    const tools = await loadTokenizer(
      files({ "chat_template.jinja": "plain", "additional_chat_templates/tool_use.jinja": "tools" }),
    );
    expect(await tools.applyChatTemplate(ask)).toBe("plain");
    expect(await tools.applyChatTemplate(ask, { tools: [{}] })).toBe("tools");
  });

  it("accepts a tokenizer.json without its null fields", async () => {
    const json = { model: { type: "BPE", vocab, merges: [["h", "e"]] }, decoder: { type: "ByteLevel" } };
    const tokenizer = await loadTokenizer(new MemorySource({ "tokenizer.json": JSON.stringify(json) }));
    expect(tokenizer.encode("he")).toEqual([256]);
  });

  it.each<[string, Record<string, string | undefined>, RegExp, string?]>([
    [
      "no files",
      { "vocab.json": undefined, "merges.txt": undefined },
      /m: expected tokenizer\.json, or vocab\.json and merges\.txt, got neither/,
    ],
    ["no merges", { "merges.txt": undefined }, /got neither/],
    [
      "SentencePiece only",
      { "vocab.json": undefined, "tokenizer.model": "x" },
      /got only tokenizer\.model/,
      "unsupported",
    ],
    [
      "a merge of three",
      { "merges.txt": "#version: 0.2\na b\na b c\n" },
      /m\/merges\.txt: line 3: expected two tokens, got "a b c"/,
    ],
    ["a token without id", { "vocab.json": '{"a": "1"}' }, /m\/vocab\.json: token "a": expected an id/],
    [
      "another class",
      { "tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}' },
      /of a BertTokenizer: expected Qwen2Tokenizer or GPT2Tokenizer/,
      "unsupported",
    ],
    [
      "bad added tokens",
      { "tokenizer_config.json": '{"added_tokens_decoder": {"x": {}}}' },
      /added_tokens_decoder: expected an id and a token/,
    ],
    [
      "a tokenizer.json that is none",
      { "tokenizer.json": '{"model": {"type": "Magic"}}' },
      /m\/tokenizer\.json: model: type Magic is not supported/,
      "unsupported",
    ],
    ["a tokenizer.json that is cut off", { "tokenizer.json": '{"model"' }, /m\/tokenizer\.json: expected JSON/],
  ])("refuses %s", async (_, over, message, code = "invalid_file") => {
    await expect(loadTokenizer(files(over))).rejects.toMatchObject({
      name: "TurboQuantError",
      code,
      message: expect.stringMatching(message),
    });
  });
});
