import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TextStream } from "./text-stream.ts";

/** A byte-level tokenizer of 256 tokens: an incomplete sequence shows as one U+FFFD. */
const byteLevel = (ids: readonly number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));

/** As SentencePiece: tokens of one character with a leading space that is dropped at the beginning of a text. */
const words = (ids: readonly number[]) =>
  ids
    .map((id) => ` w${id}`)
    .join("")
    .slice(1);

function stream(decode: (ids: readonly number[]) => string, ids: readonly number[]): string[] {
  const text = new TextStream(decode);
  return [...ids.map((id) => text.push(id)), text.end()];
}

describe("TextStream", () => {
  it("holds a character back until its last byte", () => {
    const ids = [...new TextEncoder().encode("aé🦙b")];
    expect(stream(byteLevel, ids)).toEqual(["a", "", "é", "", "", "", "🦙", "b", ""]);
  });

  it("keeps spaces between words", () => {
    expect(stream(words, [1, 2, 3])).toEqual(["w1", " w2", " w3", ""]);
  });

  it("ends with a replacement character for what never became complete", () => {
    expect(stream(byteLevel, [0x61, 0xf0, 0x9f])).toEqual(["a", "", "", "\ufffd"]);
    expect(stream(byteLevel, [])).toEqual([""]);
  });

  it("does not hold back a run of damaged bytes for ever", () => {
    const pieces = stream(byteLevel, Array(50).fill(0xff));
    expect(pieces.slice(0, -1).join("").length).toBe(47);
    expect(pieces.join("")).toBe("\ufffd".repeat(50));
  });

  it("joins to the text of all tokens, whatever the bytes", () => {
    const tokens = fc.oneof(
      fc.array(fc.nat(255), { maxLength: 40 }),
      fc.string({ unit: "binary", maxLength: 20 }).map((text) => [...new TextEncoder().encode(text)]),
    );
    fc.assert(
      fc.property(tokens, (ids) => {
        expect(stream(byteLevel, ids).join("")).toBe(byteLevel(ids));
      }),
      { numRuns: 500 },
    );
  });

  it("never emits a replacement character within valid text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), (drawn) => {
        // A text may hold that character itself; here it would hide a half one.
        const text = drawn.replaceAll("\ufffd", "");
        const pieces = stream(byteLevel, [...new TextEncoder().encode(text)]);
        expect(pieces.join("")).toBe(text);
        expect(pieces.some((piece) => piece.includes("\ufffd"))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
