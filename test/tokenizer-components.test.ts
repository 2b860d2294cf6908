/** @file Every component of tokenizer.json against the Rust tokenizers, and what is refused by its name. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MemorySource } from "../src/formats/index.ts";
import { loadTokenizer, type Tokenizer } from "../src/tokenizer/index.ts";

interface Case {
  readonly name: string;
  readonly tokenizer: object;
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

const file = new URL("fixtures/tokenizers/expected.json", import.meta.url);
const { texts, base, cases } = JSON.parse(readFileSync(file, "utf8")) as {
  readonly texts: readonly string[];
  readonly base: object;
  readonly cases: readonly Case[];
};

const load = (own: object): Promise<Tokenizer> =>
  loadTokenizer(new MemorySource({ "tokenizer.json": JSON.stringify({ ...base, ...own }) }));

describe("tokenizer.json", () => {
  it.each(cases.map((one) => [one.name, one] as const))("%s", async (_, { tokenizer: own, ids, decoded }) => {
    const tokenizer = await load(own);
    for (const [index, text] of texts.entries()) {
      expect(tokenizer.encode(text), text).toEqual(ids[index]);
      expect(tokenizer.decode(ids[index]!), text).toBe(decoded[index]);
    }
  });

  const byPattern = (Regex: string) => ({ pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated" } });
  it.each<[string, object, RegExp, string?]>([
    ["a normalizer", { normalizer: { type: "Rot13" } }, /normalizer: type Rot13 is not supported/],
    ["a part of a sequence", { normalizer: { type: "Sequence", normalizers: [{ type: "Rot13" }] } }, /normalizer\[0\]/],
    ["a pre-tokenizer", { pre_tokenizer: { type: "UnicodeScripts" } }, /pre_tokenizer: type UnicodeScripts/],
    ["a decoder", { decoder: { type: "Rot13" } }, /decoder: type Rot13/],
    ["a post-processor", { post_processor: { type: "Rot13" } }, /post_processor: type Rot13/],
    ["a model", { model: { type: "Lattice" } }, /model: type Lattice/],
    ["dropout", { model: { type: "BPE", dropout: 0.1, vocab: {}, merges: [] } }, /model: dropout/],
    ["a behavior", { pre_tokenizer: { type: "Punctuation", behavior: "Doubled" } }, /behavior Doubled/],
    ["a pattern", byPattern("\\X+"), /the pattern "\\\\X\+" \(\\X\)/],
    ["a property", byPattern("\\p{Nonesuch}"), /\\p\{Nonesuch\}/],
    ["a pattern without its end", byPattern("(a"), /a group without its end/],
    ["no model", { model: null }, /model: expected an object/, "invalid_file"],
    ["an id of 10^9", { model: { type: "BPE", vocab: { a: 1e9 }, merges: [] } }, /an id below/, "invalid_file"],
    [
      "a merge of what is not there",
      { model: { type: "BPE", vocab: { a: 0 }, merges: ["a b"] } },
      /merges\[0\] of tokens in the vocabulary/,
      "invalid_file",
    ],
    ["a merge of three", { model: { type: "BPE", vocab: { a: 0 }, merges: ["a a a"] } }, /merges\[0\]/, "invalid_file"],
  ])("names what it refuses: %s", async (_, own, message, code = "unsupported") => {
    await expect(load(own)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("applies SentencePiece's compiled rules of normalization", async () => {
    // A double array of one key, "é" (two bytes), whose value is the place of its text, and the text "e".
    const units = new Uint32Array(1024);
    const [first, second, value] = [256, 512, 768];
    const link = (at: number, to: number, label: number, leaf: boolean): void => {
      units[at] = (((at ^ to) << 10) | (leaf ? 256 : 0) | label) >>> 0;
    };
    link(0, first, 0, false);
    link(first ^ 0xc3, second, 0xc3, false);
    link(second ^ 0xa9, value, 0xa9, true);
    units[value] = 0x80000000;
    const bytes = new Uint8Array(4 + units.byteLength + 2);
    new DataView(bytes.buffer).setUint32(0, units.byteLength, true);
    bytes.set(new Uint8Array(units.buffer), 4);
    bytes.set([0x65, 0], 4 + units.byteLength);
    const tokenizer = await load({
      normalizer: { type: "Precompiled", precompiled_charsmap: Buffer.from(bytes).toString("base64") },
      model: { type: "BPE", vocab: { e: 0, a: 1 }, merges: [] },
    });
    expect(tokenizer.encode("aéa")).toEqual([1, 0, 1]);
  });
});
