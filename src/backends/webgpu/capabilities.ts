/** @file What the WebGPU backend has kernels for, and what of it a device has room for. */
import { MAX_HEAD_DIM } from "../../quant/head-dim.ts";
import { weightFormat } from "../../weights/registry.ts";
import type { Capabilities } from "../capabilities.ts";
import { wgslSupport } from "./codec/support.ts";

/** Heads up to this length need only the 16 KiB of workgroup memory that WebGPU guarantees; longer ones need this many bytes. */
const SHORT_HEAD_DIM = 256;
const LONG_HEAD_BYTES = 32768;

export const capabilities: Capabilities = {
  maxHeadDim: MAX_HEAD_DIM,
  checkKv: (format) => wgslSupport.check(format),
  choosesTokens: true,
  choosesInTiers: false,
  compressesTokens: false,
  readsTokens: false,
  hasWeights: (type) => weightFormat(type).wgsl !== undefined,
};

/** workgroupBytes: workgroup memory of the device */
export const capabilitiesOf = (workgroupBytes: number): Capabilities =>
  workgroupBytes < LONG_HEAD_BYTES ? { ...capabilities, maxHeadDim: SHORT_HEAD_DIM } : capabilities;
