/** @file The KV codecs that the WebGPU backend has kernels for: all that are stored token by token as codes, blocks or floats. */
import type { ScalarSide } from "../../../quant/codecs/scalar/scalar-codec.ts";
import { KvSupport } from "../../kv-support.ts";

export const wgslSupport = new KvSupport("webgpu", "wasm");

wgslSupport.add<ScalarSide>("scalar", {
  types: "tqN without qjl and codebook",
  lacks: ({ codebookIterations }) => codebookIterations !== undefined,
});
wgslSupport.add("trellis", { types: "" });
wgslSupport.add("block", { types: "q8_0, q4_0r" });
wgslSupport.add("float", { types: "f16 or f32" });
