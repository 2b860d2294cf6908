/** @file The bytes of tokens between others, whatever blanks a decoder puts between tokens. */
import { expect, it } from "vitest";
import { makeDecoder } from "./decoders.ts";
import { makeTokenBytes } from "./token-bytes.ts";

it.each<[string, object | null, Record<string, string>]>([
  ["WordPiece", { type: "WordPiece" }, { word: " word", "##s": "s" }],
  ["BPEDecoder", { type: "BPEDecoder" }, { "word</w>": "word ", wo: "wo" }],
  ["Metaspace", { type: "Metaspace" }, { "▁word": " word", s: "s" }],
  ["none", null, { word: " word" }],
])("%s", (_type, json, expected) => {
  const bytesOf = makeTokenBytes(json, makeDecoder(json, "decoder"));
  for (const [token, text] of Object.entries(expected)) expect(new TextDecoder().decode(bytesOf(token))).toBe(text);
});
