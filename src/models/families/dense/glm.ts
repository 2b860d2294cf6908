/** @file GLM 4, of before 0414: rope on neighbours in half of a head, gate and up in one tensor, biases of q, k and v. */
import type { Family } from "../family.ts";
import { glm4 } from "./glm4.ts";

export const glm: Family = {
  ...glm4,
  modelType: "glm",
  summary: "interleaved rope on half of a head; biases of q, k and v; fused gate, up",
  names: {},
  traits: (config) => ({ ...glm4.traits?.(config), norms: "before" }),
};
