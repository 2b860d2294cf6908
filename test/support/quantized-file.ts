/** @file Quantized checkpoints in memory: safetensors of any dtype, codes packed as their makers pack them. */
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { MemorySource } from "../../src/formats/memory-source.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";

export type Tensors = Record<string, { dtype: string; shape: number[]; data: ArrayBufferView }>;

export function writeTensors(tensors: Tensors): Uint8Array {
  let at = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    const begin = at;
    at += data.byteLength;
    return [name, { dtype, shape, data_offsets: [begin, at] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const out = new Uint8Array(8 + header.length + at);
  new DataView(out.buffer).setUint32(0, header.length, true);
  out.set(header, 8);
  let to = 8 + header.length;
  for (const { data } of Object.values(tensors)) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to);
    to += data.byteLength;
  }
  return out;
}

/** files: JSON files besides config.json */
export const openQuantized = (
  config: object,
  tensors: Tensors,
  files: Record<string, object> = {},
): Promise<Checkpoint> =>
  openCheckpoint(
    new MemorySource(
      {
        "config.json": JSON.stringify(config),
        "model.safetensors": writeTensors(tensors),
        ...Object.fromEntries(Object.entries(files).map(([name, value]) => [name, JSON.stringify(value)])),
      },
      "dir",
    ),
  );

/**
 * `lines` × `count` numbers of `bits` bits along a line, the first in the lowest bits of a word; numbers may cross words.
 * order: the place of a number among those of its word, where words are whole
 */
export function pack(
  lines: number,
  count: number,
  bits: number,
  value: (line: number, i: number) => number,
  order = (i: number) => i,
): Int32Array {
  const perWord = 32 / bits;
  const words = Math.ceil((count * bits) / 32);
  const out = new Int32Array(lines * words);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < count; i++) {
      const place = Number.isInteger(perWord) ? i - (i % perWord) + order(i % perWord) : i;
      for (let bit = 0; bit < bits; bit++) {
        const to = place * bits + bit;
        const at = line * words + (to >> 5);
        out[at] = out[at]! | (((value(line, i) >> bit) & 1) << (to & 31));
      }
    }
  }
  return out;
}

/** Lines of words as columns. */
export function transposed(words: Int32Array, lines: number): Int32Array {
  const perLine = words.length / lines;
  return Int32Array.from(words, (_, i) => words[(i % lines) * perLine + Math.floor(i / lines)]!);
}
