/** @file The KV codecs that the WASM backend has kernels for. */
import { KvSupport } from "../../kv-support.ts";

export const wasmSupport = new KvSupport("wasm", "reference");

wasmSupport.add("float", { types: "f16, f32" });
wasmSupport.add("scalar", { types: "tqN" });
wasmSupport.add("trellis", { types: "" });
wasmSupport.add("sketch", { types: "" });
wasmSupport.add("block", { types: "q8_0, q4_0r" });
wasmSupport.add("channel", { types: "kivi-N" });
