/** @file The WASM backend as a target of the contract. */
import "../../src/node/install.ts";
import { createWasmBackend } from "../../src/backends/wasm/backend.ts";
import { weightFormat } from "../../src/weights/registry.ts";
import { isPlain } from "../../src/weights/weight-format.ts";
import { codeBitsOf, type KvCase } from "../support/kv-case.ts";
import { tolerance } from "../tolerances.ts";
import { CALIBRATED_PAIRS, PAIRS } from "./kv-pairs.ts";
import type { Target } from "./target.ts";

const arePairs = new Set([...PAIRS, ...CALIBRATED_PAIRS]);

/** Codes of seven and eight bits are looked up as straight segments; others are exact to int16. */
function attentionLimit(c: KvCase): number {
  const bits = codeBitsOf(c);
  if (bits > 6 && arePairs.has(c)) return tolerance.attentionWidePairs.max;
  if (bits > 6) return (c.calibrated ? tolerance.attentionWideCalibrated : tolerance.attentionWideCodes).max;
  // Blocks are integers, multiplied by int16 queries and weights as codes are.
  const areIntegers = bits > 0 || /q[48]_0/.test(c.kv);
  return areIntegers ? tolerance.attentionCodes.max : tolerance.attentionFloats.max;
}

export const wasmTarget: Target = {
  open: () => createWasmBackend({ threads: 2 }),
  limits: {
    pages: () => 0,
    query: () => tolerance.elementwise.max,
    output: attentionLimit,
    // Activations that meet integers are rounded to int16.
    linear: (type) => (isPlain(weightFormat(type)) ? tolerance.linearFloat : tolerance.linearQ8).max,
    elementwise: () => tolerance.elementwise.max,
    activation: () => tolerance.activation.max,
    deltaRule: () => tolerance.deltaRule.max,
  },
};
