/**
 * @file Inputs of their own for each layer (Gemma 3n, Gemma 4): of a token's row in a second embedding and of its embedding, a few values a
 * layer are made before the first one; a block of each layer gates its share of them by the stream.
 */
import type { Activation } from "../../backends/ops.ts";
import { type Block, matrix, norm, type Prologue, stackedMatrix } from "./block.ts";

export interface PerLayerShape {
  readonly hiddenSize: number;
  readonly numLayers: number;
  /** Tokens of the second embedding, and of the model: those that it lacks have the row of its first one. */
  readonly vocabSize: number;
  readonly numTokens: number;
  /** Values of a layer. */
  readonly width: number;
  readonly normEps: number;
  readonly activation: Activation["kind"];
}

const BUFFER = "perLayerInputs";

/**
 * (norm(projection · e / √hiddenSize) + √width · row) / √2, each layer's share normed by itself; e: the embedding. Factors are those of
 * norms and of the embedding.
 */
export function perLayerInputs({
  hiddenSize,
  numLayers,
  vocabSize,
  numTokens,
  width,
  normEps,
}: PerLayerShape): Prologue {
  const all = numLayers * width;
  return {
    weights: {
      table: {
        role: "embedding",
        tensors: [matrix("model.embed_tokens_per_layer.weight", vocabSize, all)],
        ...(numTokens > vocabSize && { copies: numTokens - vocabSize }),
      },
      projection: stackedMatrix(hiddenSize, [["model.per_layer_model_projection.weight", all]]),
      norm: { ...norm("model.per_layer_projection_norm.weight", width), scale: Math.SQRT1_2 },
    },
    scratch: { projectedInputs: all },
    output: { name: BUFFER, width: all },
    bind:
      ({ table, projection, norm: weight }) =>
      ({ ops, step, rows, scratch }, hidden) => {
        const [inputs, projected] = [scratch(BUFFER), scratch("projectedInputs")];
        ops.embed(step, table!, inputs, Math.sqrt(width) * Math.SQRT1_2);
        ops.linear(hidden, projection!, null, rows, projected, false);
        // The norm divides by what is √hiddenSize times as large.
        const eps = normEps * hiddenSize;
        ops.norm(projected, { kind: "rms", weight: weight!, bias: null, eps, add: true }, rows * numLayers, inputs);
      },
  };
}

/** projection · (act(gate · x) ⊙ the layer's share of the inputs); prefix: beginning of the tensors' names */
export function perLayerInput(prefix: string, layer: number, shape: PerLayerShape): Block {
  const { hiddenSize, numLayers, width, activation: kind } = shape;
  const gates = { first: layer * width, stride: numLayers * width, repeat: 1, activation: "none" } as const;
  return {
    weights: {
      gate: stackedMatrix(hiddenSize, [[`${prefix}per_layer_input_gate.weight`, width]]),
      projection: stackedMatrix(width, [[`${prefix}per_layer_projection.weight`, hiddenSize]]),
    },
    scratch: { layerInput: width, gatedInput: width },
    state: null,
    bind: ({ gate, projection }) => ({
      run: ({ ops, rows, scratch }, x, out, add) => {
        const [raw, gated] = [scratch("layerInput"), scratch("gatedInput")];
        ops.linear(x, gate!, null, rows, raw, false);
        ops.activate(raw, { kind, isGated: false, alphas: null }, rows, width, gated);
        ops.gate(gated, scratch(BUFFER), gates, rows, width);
        ops.linear(gated, projection!, null, rows, out, add);
      },
    }),
  };
}
