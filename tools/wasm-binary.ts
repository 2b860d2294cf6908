/** @file Reads and writes the binary format of WebAssembly, as far as the tools for kernels need it. */

export const SECTION = { imports: 2, globals: 6, code: 10, data: 11 } as const;

/** A LEB128 number without its sign: [value, position after it]. */
export function leb(bytes: Uint8Array, at: number): [number, number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

export function lebBytes(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) + 0x80);
  return [...bytes, value];
}

export interface Section {
  readonly id: number;
  /** Number of entries, in most sections. */
  readonly count: number;
  /** Where the section begins, its first entry begins, and the section ends. */
  readonly start: number;
  readonly body: number;
  readonly end: number;
}

export function* sections(binary: Uint8Array): Generator<Section> {
  for (let at = 8; at < binary.length; ) {
    const [size, first] = leb(binary, at + 1);
    const [count, body] = leb(binary, first);
    yield { id: binary[at]!, count, start: at, body, end: first + size };
    at = first + size;
  }
}
