/** @file Whether a token's keys and values are the same bits when it is generated and when it is read as part of a prompt. */
import type { BackendName } from "../../backends/ops.ts";
import type { KvCache } from "../../cache/kv-cache.ts";

/**
 * True on the CPU for caches of codes: their attention adds up in one order for any number of rows. Attention over
 * floats (f16, f32) and blocks (q8_0, q4_0r) adds up single rows differently, and a GPU chooses kernels by rows.
 */
export function isRowInvariant(backend: BackendName, cache: KvCache): boolean {
  if (backend === "reference") return true;
  if (backend !== "wasm") return false;
  return cache.layers.every(({ format }) => format.k.type.startsWith("tq") && format.v.type.startsWith("tq"));
}
