/** @file Buffers of activations in WASM memory. */
import { assert } from "../../errors.ts";
import type { Buf } from "../ops.ts";
import type { WasmMemory } from "./memory.ts";

export class WasmBuf implements Buf {
  readonly memory: WasmMemory;
  readonly address: number;
  readonly length: number;
  constructor(memory: WasmMemory, address: number, length: number) {
    this.memory = memory;
    this.address = address;
    this.length = length;
  }
}

/** A buffer with room for `length` values, in any memory. */
export function wasmBuf(buf: Buf, length: number, what: string): WasmBuf {
  assert(buf instanceof WasmBuf && buf.length >= length, `${what}: ${length} values do not fit the buffer`);
  return buf;
}

/** Address of a buffer of this memory with room for `length` values. */
export function addressIn(memory: WasmMemory, buf: Buf, length: number, what: string): number {
  const { memory: own, address } = wasmBuf(buf, length, what);
  assert(own === memory, `${what}: a buffer of another memory`);
  return address;
}
