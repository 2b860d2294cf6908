/** @file The kinds of storage that a side of the cache may have: the one place that reads a type's name. */
import type { KvType } from "./kv-format.ts";

/** `float`: raw rows · `block`: integers in blocks of 32 with a scale each · `scalar`: codes of a codebook or trellis and one scale a row · `channel`: KIVI, whole pages at once. */
export type SideKind = "float" | "block" | "scalar" | "channel";

export function kindOf(type: KvType): SideKind {
  switch (type) {
    case "f32":
    case "f16":
      return "float";
    case "q8_0":
    case "q4_0r":
      return "block";
    default:
      return type.startsWith("kivi") ? "channel" : "scalar";
  }
}
