/** @file SentencePiece's compiled rules of normalization (`precompiled_charsmap`): a double-array trie of texts, and what they become. */
import type { Component } from "./component.ts";

const ENCODER = new TextEncoder();
/** Longer clusters are looked up character by character. */
const MAX_CLUSTER = 6;

export function charsMap(component: Component): (text: string) => string {
  const data = bytesOf(component);
  const view = new DataView(data.buffer);
  const trieBytes = data.length >= 4 ? view.getUint32(0, true) : 0;
  if (trieBytes % 4 !== 0 || trieBytes === 0 || 4 + trieBytes > data.length) {
    throw component.invalid("a charsmap", `${data.length} bytes`);
  }
  const units = new Uint32Array(data.slice(4, 4 + trieBytes).buffer);
  const texts = data.subarray(4 + trieBytes);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** What the shortest known beginning becomes; null when none is known. */
  const replacement = (chunk: string): string | null => {
    const at = firstMatch(units, ENCODER.encode(chunk));
    if (at === null) return null;
    const end = texts.indexOf(0, at);
    return decoder.decode(texts.subarray(at, end < 0 ? undefined : end));
  };
  const clusters = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    let result = "";
    for (const { segment } of clusters.segment(text)) {
      const whole = ENCODER.encode(segment).length < MAX_CLUSTER ? replacement(segment) : null;
      if (whole !== null) result += whole;
      else for (const character of segment) result += replacement(character) ?? character;
    }
    return result;
  };
}

function bytesOf(component: Component): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(component.text("precompiled_charsmap")), (character) => character.charCodeAt(0));
  } catch {
    throw component.invalid("a charsmap in base64", "another text");
  }
}

/** The value of the shortest key that the bytes begin with. A unit holds a label, an offset and whether a value follows. */
function firstMatch(units: Uint32Array, bytes: Uint8Array): number | null {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let at = offset(units[0]!);
  for (const byte of bytes) {
    if (byte === 0) return null;
    at ^= byte;
    const unit = units[at];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return null;
    at ^= offset(unit);
    if ((unit >>> 8) & 1) return units[at]! & 0x7fffffff;
  }
  return null;
}
