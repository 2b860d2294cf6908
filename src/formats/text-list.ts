/** @file Many texts in one piece of memory, as files have them: strings are made of those alone that somebody asks for. */

const ENCODER = new TextEncoder();
/** A text may be U+FEFF, which would be dropped as a mark otherwise. */
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
/** Of more characters a decoder is faster. */
const SHORT = 32;

/** Bytes [start, end) as text; what is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > SHORT) return DECODER.decode(bytes.subarray(start, end));
  let text = "";
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= 0x80) return DECODER.decode(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Texts by their places, from 0 on. */
export class TextList {
  readonly bytes: Uint8Array;
  /** Where each text begins in `bytes`, and where it ends. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;

  constructor(bytes: Uint8Array, starts: Uint32Array, ends: Uint32Array) {
    this.bytes = bytes;
    this.starts = starts;
    this.ends = ends;
  }

  static of(texts: readonly string[]): TextList {
    const [starts, ends] = [new Uint32Array(texts.length), new Uint32Array(texts.length)];
    const all = ENCODER.encode(texts.join("\n"));
    let at = 0;
    for (const [place, text] of texts.entries()) {
      starts[place] = at;
      at += utf8Length(text);
      ends[place] = at++;
    }
    return new TextList(all, starts, ends);
  }

  get length(): number {
    return this.starts.length;
  }

  /** The same texts in a copy of the bytes. */
  over(bytes: Uint8Array): TextList {
    return new TextList(bytes, this.starts, this.ends);
  }

  /** The text at a place that there is. */
  text(place: number): string {
    return textOf(this.bytes, this.starts[place]!, this.ends[place]!);
  }

  toJSON(): string[] {
    return Array.from({ length: this.length }, (_, place) => this.text(place));
  }
}

/** Bytes that an encoder makes of a text: half a surrogate pair becomes U+FFFD. */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    const isPair = unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
    if (!isPair) continue;
    // Two units, four bytes.
    i++;
  }
  return bytes;
}
