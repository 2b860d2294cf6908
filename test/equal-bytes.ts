/** @file Typed arrays are compared by their bytes first: Vitest takes a microsecond for each element, and most that a test compares are equal. */
import { expect } from "vitest";

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Arrays that differ are left to Vitest, which says where. */
function haveSameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 || undefined;
}

// This runs before each file, and files may share a process, which keeps what was added.
const shared = globalThis as { comparesBytes?: boolean };
if (!shared.comparesBytes) expect.addEqualityTesters([haveSameBytes]);
shared.comparesBytes = true;
