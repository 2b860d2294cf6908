/** @file What the store holds under a key: a part of a sequence between a header and a checksum (docs/formats/shared-pages.md). */
import { crc32c } from "../../math/crc32c.ts";

/** "TQPS" in ASCII, little endian. */
const MAGIC = 0x53505154;
const VERSION = 1;
/** Magic number, version, length of all (u64), key. */
const HEADER_BYTES = 48;
const KEY_AT = 16;
const KEY_BYTES = 32;
const CHECKSUM_BYTES = 4;

/** Bytes that a value has beside its part. */
export const VALUE_OVERHEAD = HEADER_BYTES + CHECKSUM_BYTES;

/** key: 64 hex digits */
export function encodeValue(key: string, part: Uint8Array): Uint8Array {
  const value = new Uint8Array(part.length + VALUE_OVERHEAD);
  const view = new DataView(value.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setBigUint64(8, BigInt(value.length), true);
  for (let i = 0; i < KEY_BYTES; i++) value[KEY_AT + i] = byteOfKey(key, i);
  value.set(part, HEADER_BYTES);
  view.setUint32(value.length - CHECKSUM_BYTES, crc32c(value.subarray(0, -CHECKSUM_BYTES)), true);
  return value;
}

/** The part, a view of the value's bytes; null when this is not what was written under the key. */
export function decodeValue(key: string, value: Uint8Array): Uint8Array | null {
  if (value.length < VALUE_OVERHEAD) return null;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return null;
  if (view.getBigUint64(8, true) !== BigInt(value.length)) return null;
  for (let i = 0; i < KEY_BYTES; i++) if (value[KEY_AT + i] !== byteOfKey(key, i)) return null;
  const end = value.length - CHECKSUM_BYTES;
  return crc32c(value.subarray(0, end)) === view.getUint32(end, true) ? value.subarray(HEADER_BYTES, end) : null;
}

const byteOfKey = (key: string, index: number): number => Number.parseInt(key.slice(2 * index, 2 * index + 2), 16);
