/** @file What the WASM backend has kernels for: every KV format, and the weight formats that have a part for it. */
import { weightFormat } from "../../weights/registry.ts";
import { type Capabilities, EVERYTHING } from "../capabilities.ts";

export const capabilities: Capabilities = {
  ...EVERYTHING,
  hasWeights: (type) => weightFormat(type).wasm !== undefined,
};
