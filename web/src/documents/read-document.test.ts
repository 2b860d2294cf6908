import { describe, expect, it } from "vitest";
import { MAX_TEXT_BYTES, readDocument } from "./read-document.ts";

const file = (name: string, ...parts: BlobPart[]): File => new File(parts, name);
const textOf = async (name: string, ...parts: BlobPart[]): Promise<string> =>
  (await readDocument(file(name, ...parts))).text;

describe("a document", () => {
  it.each<[string, BlobPart[], string]>([
    ["UTF-8", ["Grüße\r\nan alle\n\n"], "Grüße\nan alle"],
    ["UTF-8 with its mark", [new Uint8Array([0xef, 0xbb, 0xbf, 0x68, 0x69])], "hi"],
    ["UTF-16, little end first", [new Uint8Array([0xff, 0xfe, 0x68, 0, 0xe9, 0])], "hé"],
    ["UTF-16, big end first", [new Uint8Array([0xfe, 0xff, 0, 0x68, 0, 0x69])], "hi"],
    ["one byte a character", [new Uint8Array([0x63, 0x61, 0x66, 0xe9])], "café"],
  ])("is read in %s", async (_, parts, text) => {
    expect(await textOf("a.txt", ...parts)).toBe(text);
  });

  it.each<[string, File, RegExp]>([
    ["nothing", file("a.txt"), /^a\.txt is empty\.$/],
    ["white space", file("a.txt", " \n\n "), /has no text in it/],
    ["a picture", file("a.png", new Uint8Array([0x89, 0x50, 0, 0, 1])), /a\.png is no text, and no PDF/],
    ["something that is called a PDF", file("a.pdf", "hello"), /a\.pdf is broken: it does not begin/],
    [
      "50 MB",
      file("big.log", new Uint8Array(50e6).fill(0x61)),
      /big\.log has 50\.0 MB, more than any model here can read \(20\.0 MB\); drop the part/,
    ],
  ])("that is %s is refused in one sentence", async (_, bad, message) => {
    await expect(readDocument(bad)).rejects.toThrow(message);
  });

  it("may be as large as said", async () => {
    expect((await textOf("a.txt", "x".repeat(MAX_TEXT_BYTES))).length).toBe(MAX_TEXT_BYTES);
  });
});
