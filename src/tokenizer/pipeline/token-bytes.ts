/** @file The bytes that single tokens stand for, which may be parts of characters. */

import { isJsonObject } from "../../formats/json-file.ts";
import { BYTE_TOKEN, byteLevelBytes, type Decoder } from "./decoders.ts";

const ENCODER = new TextEncoder();

/**
 * A function from a token as the vocabulary writes it to its bytes inside of a text: what decoders do at a text's ends does not count.
 *
 * json: the decoder as tokenizer.json describes it · decoder: made of it
 */
export function makeTokenBytes(json: unknown, decoder: Decoder | null): (token: string) => Uint8Array {
  const kinds = kindsOf(json);
  if (kinds.includes("ByteLevel")) return (token) => Uint8Array.from(byteLevelBytes(token));
  const hasByteTokens = kinds.includes("ByteFallback");
  return (token) => {
    const byte = hasByteTokens ? BYTE_TOKEN.exec(token) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    if (!decoder) return ENCODER.encode(` ${token}`);
    // Between neighbours, of which the second may get a blank of its own before it.
    const behind = decoder(["a", "b"]).join("").length - 1;
    return ENCODER.encode(decoder(["a", token, "b"]).join("").slice(1, -behind));
  };
}

/** The types of a decoder and of its parts. */
function kindsOf(json: unknown): readonly unknown[] {
  if (!isJsonObject(json)) return [];
  const parts = Array.isArray(json["decoders"]) ? json["decoders"] : [];
  return [json["type"], ...parts.flatMap(kindsOf)];
}
