/** @file States of fixed size as arrays of floats. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { PageAddress } from "../../cache/page-storage.ts";
import type { Span, StatePart } from "../ops.ts";

/** A part of a page, not a copy of it. */
export function floatsOf(storage: MemoryPageStorage, address: PageAddress, part: StatePart, length: number) {
  const page = storage.bytes(address);
  return new Float32Array(page.buffer, page.byteOffset + part.offset, length);
}

/** A part of the state before a span: zeros before the first token. */
export function stateBefore(storage: MemoryPageStorage, span: Span, part: StatePart, length: number) {
  const address = span.sequence.recurrent(part.index).at(span.start);
  return address ? floatsOf(storage, address, part, length) : new Float32Array(length);
}
