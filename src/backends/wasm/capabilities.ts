/** @file What the WASM backend has kernels for: the KV codecs and the weight formats that have a part for it. */
import { weightFormat } from "../../weights/registry.ts";
import { type Capabilities, EVERYTHING } from "../capabilities.ts";
import { wasmSupport } from "./codecs/support.ts";

export const capabilities: Capabilities = {
  ...EVERYTHING,
  checkKv: (format) => wasmSupport.check(format),
  hasWeights: (type) => weightFormat(type).wasm !== undefined,
};
