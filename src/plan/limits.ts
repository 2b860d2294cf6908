/** @file Limits of the backends that a plan can run into. */
import { MAX_BYTES } from "../backends/wasm/memory.ts";

/** What 32-bit WebAssembly can address. */
export const WASM_LIMIT = MAX_BYTES;
/** `maxStorageBufferBindingSize` of every WebGPU adapter; the engine asks for the adapter's own, mostly 2 or 4 GiB. */
export const DEFAULT_BINDING_LIMIT = 128 * 2 ** 20;
/** What common adapters bind at least: weights are cut at it, pages of a layer are not. */
export const BINDING_LIMIT = 2 ** 31 - 4;
