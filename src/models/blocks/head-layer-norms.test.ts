import { expect, it } from "vitest";
import type { Weight } from "../../backends/ops.ts";
import { headLayerNorms } from "./head-layer-norms.ts";

const shape = {
  heads: { headDim: 8, rotaryDim: 8, isInterleaved: false },
  q: ["self_attn.q_layernorm", 2],
  k: ["self_attn.k_layernorm", 1],
  eps: 1e-5,
  stride: 32,
} as const;

/** Names of tensors, and for each head in a row where it begins, and the tensors of its weight and bias. */
function view(isOwn: boolean) {
  const norms = headLayerNorms({ ...shape, isOwn });
  const nameOf = (key: string): string => norms.weights[key]!.tensors[0]!.name;
  const bound = Object.fromEntries(Object.keys(norms.weights).map((key) => [key, nameOf(key) as unknown as Weight]));
  return norms.bind(bound).map(({ kind, first, stride, weight, bias }) => [kind, first, stride, weight, bias]);
}

it("gives each head the weight that StableLM stores for it", () => {
  expect(view(true)).toEqual([
    ["layer", 0, 32, "self_attn.q_layernorm.norms.0.weight", null],
    ["layer", 8, 32, "self_attn.q_layernorm.norms.1.weight", null],
    ["layer", 16, 32, "self_attn.k_layernorm.norms.0.weight", null],
  ]);
});

it("gives all heads of q, and all of k, the weight and the bias that Phi stores once", () => {
  expect(view(false)).toEqual([
    ["layer", 0, 32, "self_attn.q_layernorm.weight", "self_attn.q_layernorm.bias"],
    ["layer", 8, 32, "self_attn.q_layernorm.weight", "self_attn.q_layernorm.bias"],
    ["layer", 16, 32, "self_attn.k_layernorm.weight", "self_attn.k_layernorm.bias"],
  ]);
});

it("puts weights where partial rope has the coordinates of a head", () => {
  const heads = { ...shape.heads, rotaryDim: 4 };
  const { qNorm } = headLayerNorms({ ...shape, heads, isOwn: false }).weights;
  // Pairs (0, 2) and (1, 3) become (0, 4) and (1, 5); the others fill what is left.
  expect(Array.from({ length: 8 }, (_, row) => qNorm!.tensors[0]!.order!.place(row))).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
});
