/** @file Views of stored bytes as typed arrays. Stored bytes are little endian, like every platform this runs on. */

interface ElementArray<T> {
  new (buffer: ArrayBuffer, offset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
}

/** A view of the bytes, or a copy when they do not begin at a multiple of the element's size. */
export function elements<T>(bytes: Uint8Array, Type: ElementArray<T>): T {
  const size = Type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new Type(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size);
}

/** A copy of the array's bytes in memory of its own. */
export const bytesOf = (array: Float32Array | Uint16Array | Int8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
